"""The page of an evaluation as Chromium shows it: nothing fetched, nothing too wide, legible in light and dark."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from evaluated_runs import DATA, document, with_figures

from pmodel.reporting.report import write_report

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

# Elements that reach beyond the page's edge, or whose content reaches beyond theirs.
CUT = """() => [...document.body.querySelectorAll("*")]
  .filter((e) => e.checkVisibility() && !e.closest(".hidden"))
  .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1.5 ||
    (getComputedStyle(e).display !== "inline" && e.scrollWidth > e.clientWidth + 2 && e.clientWidth > 0))
  .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def nine(tmp_path_factory) -> Path:
    """The page of nine runs; one label is markup, another has no place to break, and one run is on other data."""
    folder = tmp_path_factory.mktemp("eval")
    results = with_figures(document(), folder)
    results["runs"][4]["label"] = EVIL
    results["runs"][5]["label"] = "pixelcnn_of_a_very_long_name_that_has_no_place_to_break"
    results["runs"][3]["data"] = {**DATA, "binarize": "dynamic"}
    results["runs"][2]["missing"][0]["reason"] = "https://example.org/" + 80 * "x"
    return write_report(results, folder, None)


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
        assert page.evaluate(CUT) == []
        seen = page.evaluate(CONTRASTS)
        assert seen["page"] < 0.02 if scheme == "dark" else seen["page"] > 0.9
        assert len(seen["texts"]) > (200 if closed else 500)
        assert [text for contrast, text in seen["texts"] if contrast < 4.5] == []


def test_all_images_are_decoded_and_keep_their_shape(opened):
    page = opened(390, "light")
    sizes = page.evaluate(
        "Promise.all([...document.images].map(async (image) => {await image.decode();"
        "image.closest('details')?.setAttribute('open', '');"
        "return [image.naturalWidth / image.naturalHeight, image.clientWidth, image.clientHeight, image.alt.length]}))"
    )
    assert len(sizes) > 30
    for ratio, width, height, alt in sizes:
        assert width == pytest.approx(ratio * height, abs=3)
        assert 0 < width <= 390
        assert alt > 0


def test_a_click_shows_a_picture_in_full_with_square_pixels_and_a_link_leads_back(opened):
    page = opened(1280, "light")
    frame = page.locator("#topic-samples-1-1")
    image = frame.locator("img")
    before = image.evaluate("e => e.clientWidth")
    image.click()
    assert image.evaluate("e => [e.offsetWidth, getComputedStyle(e).imageRendering]") == [2 * 466, "pixelated"]
    assert before < 466
    frame.locator(".close").click()
    assert image.evaluate("e => e.clientWidth") == before


def test_what_a_user_wrote_is_shown_and_does_not_run(opened):
    page = opened(1280, "light")
    assert page.title() == "9 models on mnist"
    assert page.locator("script").count() == 2
    assert EVIL in page.locator("#glance h3").all_inner_texts()[3]


def test_on_a_narrow_screen_each_value_of_a_table_stands_after_its_name(opened):
    page = opened(390, "light")
    cell = page.locator("#topic-samples td.best").first
    assert cell.evaluate("e => getComputedStyle(e, '::before').content").startswith('"Fréchet distance, distance of')
    assert page.locator("#topic-likelihood td.hole").first.is_hidden()


def test_slides_are_one_topic_a_screen_and_page_down_leads_to_the_next(opened):
    page = opened(1280, "light")
    page.locator("#slides").check()
    heights = page.evaluate("[...document.querySelectorAll('.screen')].map((e) => e.clientHeight)")
    assert min(heights) >= 844
    assert page.evaluate("getComputedStyle(document.documentElement).scrollSnapType") == "y mandatory"
    place = "document.querySelector('#topic-completions').getBoundingClientRect().top"
    page.evaluate("document.querySelector('#topic-likelihood').scrollIntoView({block: 'end'})")
    page.keyboard.press("PageDown")
    deadline = time.monotonic() + 30  # it moves there smoothly
    while abs(page.evaluate(place)) > 2:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert abs(page.evaluate(place.replace("completions", "reconstruction"))) < 2
    # A slider has the arrow keys for itself.
    page.locator("#play input[type=range]").focus()
    before = page.evaluate("scrollY")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") == before


def chosen(page, title: str, run: str | None = None):
    """The page, with that of the widgets shown."""
    page.get_by_role("button", name=title, exact=True).click()
    if run is not None:
        page.locator("#play select").select_option(label=run)
    page.locator("#play canvas").first.wait_for()
    return page


def tiles_of(page) -> list[int]:
    """The tiles that are shown, each of which must have been drawn."""
    canvases = "[...document.querySelectorAll('#play .stage canvas[data-tile]')]"
    blank = "Object.assign(document.createElement('canvas'), {width: c.width, height: c.height})"
    assert page.evaluate(f"{canvases}.every((c) => c.toDataURL() !== {blank}.toDataURL())")
    return [int(tile) for tile in page.evaluate(f"{canvases}.map((c) => c.dataset.tile)")]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_cross_is_dragged_and_a_code_that_is_pointed_at_shows_its_example(opened, width):
    page = chosen(opened(width, "light"), "Walk among codes", "pca")
    plane = page.locator("#play .plane")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    codes = page.evaluate("JSON.parse(document.querySelector('#widgets').textContent).at(-1).values.points")

    def at(x: float, y: float) -> tuple[float, float]:
        """Where a place in [0, 1]² lies, which stands for [−0.5, 1.5] × [−1, 1]."""
        return box["x"] + box["width"] * x, box["y"] + box["width"] * (1 - y)

    page.mouse.move(*at(*codes[5]))
    cross, example = tiles_of(page)
    assert (example, cross) == (5, 28 + 3 * 6 + 3)
    page.mouse.down()
    page.mouse.move(*at(0.05, 0.95))
    assert tiles_of(page)[0] == 28
    page.mouse.move(*at(0.95, 0.05))
    page.mouse.up()
    assert tiles_of(page)[0] == 28 + 35
    assert "decoded at (1.33, −0.833)" in page.locator("#play .stage").inner_text()
    page.mouse.move(*at(*codes[7]))
    assert tiles_of(page) == [28 + 35, 7]
    assert "example of the nearest dot: b" in page.locator("#play .stage").inner_text()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp"):
        plane.press(key)
    assert tiles_of(page)[0] == 28 + 28
    for _ in range(9):
        plane.press("ArrowUp")
    assert tiles_of(page)[0] == 28 + 4
    for i in range(0, 28, 9):
        page.mouse.click(*at(*codes[i]))
        assert tiles_of(page)[1] == i


def test_sliders_turn_latents(opened):
    page = chosen(opened(1280, "light"), "Turn latents")
    assert tiles_of(page) == [1 * 16 + 2 * 4 + 0]
    sliders = page.locator("#play input[type=range]")
    sliders.nth(2).fill("3")
    sliders.nth(0).press("ArrowLeft")
    assert tiles_of(page) == [0 * 16 + 2 * 4 + 3]
    texts = page.locator("#play .slider").all_inner_texts()
    assert [text.split() for text in texts] == [["z7", "−2"], ["z3", "0.5"], ["z12", "2"]]


def test_quarters_are_erased_and_completed(opened):
    page = chosen(opened(1280, "dark"), "Erase", "pixelrnn")
    quarters = page.locator("#play .quarters button")
    # The image, its thumbnails, and the completion of its lower half.
    assert tiles_of(page) == [0, 0, 1, 2, 3, 4 + 11]
    quarters.nth(2).click()
    assert tiles_of(page)[-1] == 4 + 7
    page.locator("#play .others button").nth(3).click()
    quarters.nth(0).click()
    assert (tiles_of(page)[0], tiles_of(page)[-1]) == (3, 4 + 45 + 8)
    assert [button.get_attribute("aria-pressed") for button in quarters.all()] == ["true", "false", "false", "true"]
    quarters.nth(0).click()
    quarters.nth(3).click()
    assert page.locator("#play .row").is_hidden()
    assert "nothing is erased" in page.locator("#play .stage").inner_text()
    quarters.nth(1).click()
    page.locator("#play select").select_option(index=0)  # another model, of which one sees the same
    assert (tiles_of(page)[0], tiles_of(page)[-1]) == (3, 4 + 45 + 1)


def test_epochs_are_stepped_through_and_played(opened):
    page = chosen(opened(1280, "light"), "Epoch by epoch", "dcgan")
    assert tiles_of(page) == [63]
    slider = page.locator("#play input[type=range]")
    slider.fill("60")
    assert tiles_of(page) == [60]
    assert "epoch 61" in page.locator("#play .slider").inner_text()
    play = page.locator("#play .run")
    play.click()
    page.locator("#play .run", has_text="Play").wait_for()
    assert tiles_of(page) == [63]
    play.click()  # from the first
    assert tiles_of(page)[0] < 40
    play.click()
    stopped = tiles_of(page)
    page.wait_for_timeout(1500)
    assert tiles_of(page) == stopped
    play.click()
    chosen(page, "Epoch by epoch", "gan")  # at the same epoch, and what is shown no more plays no more
    stopped = tiles_of(page)
    page.wait_for_timeout(1500)
    assert tiles_of(page) == stopped
    assert stopped[0] < 63


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_that_is_moved_is_cut(opened, width):
    page = opened(width, "light")
    shown = []
    for button in page.locator("#play .choices button").all():
        button.click()
        for option in page.locator("#play select option").all():
            page.locator("#play select").select_option(value=option.get_attribute("value"))
            page.wait_for_timeout(100)
            assert page.evaluate(CUT) == []
            assert page.evaluate("document.documentElement.scrollWidth") == width
            shown.append(tiles_of(page))
    assert len(shown) == 8
    of_plane = page.locator("#play .plane").bounding_box(), page.locator("#play .shown").bounding_box()
    if width == 390:
        assert of_plane[1]["y"] < of_plane[0]["y"]  # what is decoded is seen while one drags


def test_without_scripts_there_is_nothing_to_try(browser, nine):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(nine.as_uri())
    assert page.locator("#play").is_hidden()
    assert page.locator("nav a", has_text="Try it").is_hidden()
    context.close()


def test_on_paper_everything_is_open_light_and_within_the_sheet(opened):
    page = opened(794, "dark")  # A4 at 96 dpi
    page.emulate_media(media="print")
    seen = page.evaluate(CONTRASTS)
    assert seen["page"] > 0.9
    assert page.locator("nav").is_hidden()
    assert page.locator("#play").is_hidden()
    assert page.locator("#numbers dl").first.bounding_box()["height"] > 50
    assert page.locator("#topic-completions").evaluate("e => getComputedStyle(e).breakBefore") == "page"
    page.set_viewport_size({"width": 794, "height": 1123})
    assert page.evaluate(CUT) == []
