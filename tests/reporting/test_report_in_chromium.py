"""The page of an evaluation as Chromium shows it: nothing fetched, nothing too wide, legible in light and dark."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from evaluated_runs import DATA, document, with_figures

from pmodel.reporting.report import write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
EVIL = "<script>document.title = 'taken'; fetch('https://example.org')</script><img src=x onerror=alert(1)>"

# The relative luminance and the contrast of WCAG 2.1 of each text against the nearest background that is not clear.
CONTRASTS = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = channels(color).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    texts.push([contrast, walker.currentNode.textContent.trim().slice(0, 40)]);
  }
  return {page: luminance(getComputedStyle(document.body).backgroundColor), texts};
}"""

# Elements that reach beyond the page's edge and lie in no box that scrolls.
TOO_WIDE = """() => [...document.body.querySelectorAll("*")]
  .filter((e) => e.checkVisibility() && !e.closest(".hidden") && !e.parentElement.closest(".scroll"))
  .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
  .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def nine(tmp_path_factory) -> Path:
    """The page of nine runs; one label is markup, another has no place to break, and one run is on other data."""
    folder = tmp_path_factory.mktemp("eval")
    results = with_figures(document(), folder)
    results["runs"][4]["label"] = EVIL
    results["runs"][5]["label"] = "pixelcnn_of_a_very_long_name_that_has_no_place_to_break"
    results["runs"][3]["data"] = {**DATA, "binarize": "dynamic"}
    results["runs"][2]["missing"][0]["reason"] = "https://example.org/" + 80 * "x"
    return write_report(results, folder)


@pytest.fixture
def opened(browser, nine) -> Iterator:
    """Opens the page; afterwards, nothing may have been fetched but the file itself, and nothing complained."""
    faults, contexts = [], []

    def open_page(width: int, scheme: str):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        own = nine.as_uri()
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: faults.append("dialog"))
        page.on("requestfailed", lambda request: faults.append(f"failed: {request.url[:80]}"))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((own, "data:")) else faults.append(f"request: {request.url}")
            ),
        )
        page.goto(own)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_every_text_is_legible(opened, width, scheme):
    page = opened(width, scheme)
    for closed in (True, False):
        if not closed:
            page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(TOO_WIDE) == []
        seen = page.evaluate(CONTRASTS)
        assert seen["page"] < 0.02 if scheme == "dark" else seen["page"] > 0.9
        assert len(seen["texts"]) > (200 if closed else 500)
        assert [text for contrast, text in seen["texts"] if contrast < 4.5] == []


def test_all_images_are_decoded_and_shown_in_their_own_pixels(opened):
    page = opened(390, "light")
    sizes = page.evaluate(
        "Promise.all([...document.images].map(async (image) => {await image.decode();"
        "return [image.naturalWidth, image.naturalHeight, image.clientWidth, image.clientHeight, image.alt.length]}))"
    )
    assert len(sizes) > 30
    for width, height, shown_width, shown_height, alt in sizes:
        assert width == shown_width > 0
        assert height == shown_height > 0
        assert alt > 0


def test_what_a_user_wrote_is_shown_and_does_not_run(opened):
    page = opened(1280, "light")
    assert page.title() == "9 models on mnist"
    assert page.locator("script").count() == 0
    assert EVIL in page.locator("figcaption").all_inner_texts()[1]


def test_the_names_of_the_runs_stay_while_a_table_is_moved(opened):
    page = opened(390, "light")
    box = page.locator("#summary .scroll").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth + 100")
    name = box.locator("tbody th").first
    before = name.bounding_box()
    box.evaluate("box => (box.scrollLeft = 100)")
    assert box.evaluate("box => box.scrollLeft") == 100
    assert name.bounding_box() == before
    # Not below what moves: the name is what one would touch there.
    assert name.evaluate(
        "th => {th.scrollIntoView({block: 'center'}); const place = th.getBoundingClientRect();"
        "return th.contains(document.elementFromPoint(place.right - 5, place.top + place.height / 2))}"
    )
    assert before["width"] < 200


def test_a_note_is_where_its_sign_leads(opened):
    page = opened(1280, "light")
    sign = page.locator("#summary td a").first
    target = sign.get_attribute("href")
    sign.click()
    assert page.locator(target).evaluate("e => e.matches(':target')")
    assert json.loads(page.locator(target).evaluate("e => JSON.stringify(e.textContent)")).startswith(
        "the model has no"
    )


def test_on_paper_everything_is_open_light_and_within_the_sheet(opened):
    page = opened(794, "dark")  # A4 at 96 dpi
    page.emulate_media(media="print")
    seen = page.evaluate(CONTRASTS)
    assert seen["page"] > 0.9
    assert page.locator("nav").is_hidden()
    assert page.locator("#protocol dl").first.bounding_box()["height"] > 50
    page.set_viewport_size({"width": 794, "height": 1123})
    assert page.evaluate(TOO_WIDE.replace(".scroll", ".nothing").replace("+ 0.5", "+ 2")) == []
