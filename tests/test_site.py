"""The site of the docs: built strictly, its links lead somewhere, and Chromium shows each page without a complaint."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image
from support import ROOT, loaded

SPHINX = ROOT / "docs" / "sphinx"

# What reaches beyond the window, but for what lies in a box that scrolls, and the menus that wait beside it.
TOO_WIDE = """() => {
  const edge = document.documentElement.clientWidth;
  const isBox = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  const scrolls = (e) => e && !e.matches("article") && (isBox(e) || scrolls(e.parentElement));
  return [...document.body.querySelectorAll("*")]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > edge + 1.5)
    .filter((e) => !scrolls(e.parentElement) && !e.closest(".sidebar-drawer, .toc-drawer, .visually-hidden"))
    .map((e) => e.outerHTML.slice(0, 120));
}"""
BLANK = "[...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src)"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    pytest.importorskip("sphinx", reason="sphinx is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "docs" / "build_site.py"), str(folder)]
    return folder, subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(built) -> Path:
    folder, result = built
    assert result.returncode == 0, result.stderr
    return folder


def pages(site: Path) -> list[str]:
    """All pages but the first one, which leads on at once."""
    return [str(page.relative_to(site)) for page in sorted(site.rglob("*.html")) if page != site / "index.html"]


def test_it_is_built_without_a_warning(built):
    folder, result = built
    assert (result.returncode, result.stderr) == (0, "")
    assert (folder / "index.html").is_file()


def test_each_page_of_the_repository_is_in_it(site: Path):
    tracked = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "notebooks").glob("*.ipynb")]
    tracked += [*(ROOT / "docs" / "course").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "zoo" / "README.md"]
    assert len(tracked) > 30
    for page in tracked:
        assert (site / page.relative_to(ROOT).with_suffix(".html")).is_file(), page


def test_each_link_leads_to_a_file_and_a_place_in_it(site: Path):
    texts = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    places = {page: set(map(unescape, re.findall(r'\sid="([^"]*)"', text))) for page, text in texts.items()}
    dead, count = [], 0
    for page, text in texts.items():
        for link in set(map(unescape, re.findall(r'\s(?:href|src)="([^"]*)"', text))):
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data", "mailto"):
                continue
            count += 1
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            place = unquote(parts.fragment)
            if not target.is_file() or (place and target in places and place not in places[target]):
                dead.append(f"{page.relative_to(site)}: {link}")
    assert count > 1000
    assert dead == []


def test_the_api_reference_has_all_modules_and_no_private_names(site: Path):
    for package in ("models", "nets", "distributions", "training", "data", "metrics", "figures"):
        text = (site / "docs" / "api" / f"{package}.html").read_text(encoding="utf-8")
        for file in (ROOT / "src" / "pmodel" / package).glob("[!_]*.py"):
            assert f'id="module-pmodel.{package}.{file.stem}"' in text, file
        assert not re.findall(r'id="pmodel\.[\w.]*\._[a-z]\w*"', text)
    text = (site / "docs" / "api" / "pmodel.html").read_text(encoding="utf-8")
    for name in ("build", "fit", "evaluate", "open_run", "picture"):
        assert f'id="pmodel.{name}"' in text
    assert 'id="pmodel.interactive.run.InteractiveRun.sample"' in text


def failed(tab, request) -> list[str]:
    """A fault, unless the browser went on to another page before the request was over."""
    gone = request.failure == "net::ERR_ABORTED"
    return [] if gone else [f"{tab.url}: failed: {request.url[:99]}, {request.failure}"]


@pytest.fixture
def page(browser, site: Path) -> Iterator:
    """A page of the browser; afterwards, nothing may have been asked of elsewhere, and nothing complained."""
    faults = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    tab = context.new_page()
    own = (site.as_uri(), "data:")
    tab.on("console", lambda message: faults.append(f"{tab.url}: console: {message.text}"))
    tab.on("pageerror", lambda error: faults.append(f"{tab.url}: error: {error}"))
    tab.on("requestfailed", lambda request: faults.extend(failed(tab, request)))
    tab.on("request", lambda request: None if request.url.startswith(own) else faults.append(f"asked {request.url}"))
    yield tab
    context.close()
    assert faults == []


@pytest.mark.slow
def test_each_page_fits_a_desk_and_a_phone_with_all_its_pictures(page, site: Path):
    pictures, wrong = 0, []
    names = pages(site)
    assert len(names) > 45
    for name in names:
        page.goto((site / name).as_uri())
        page.evaluate("Promise.all([...document.images].map((i) => i.decode().catch(() => null)))")
        pictures += page.evaluate("document.images.length")
        wrong += [f"{name}: blank: {source}" for source in page.evaluate(BLANK)]
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            wrong += [f"{name} at {width}: {element}" for element in page.evaluate(TOO_WIDE)]
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wrong.append(f"{name} at {width}: it scrolls sideways")
    assert wrong == []
    assert pictures > 60


def test_the_first_page_leads_to_the_docs(page, site: Path):
    page.goto((site / "index.html").as_uri())
    page.wait_for_url("**/docs/index.html")
    assert page.title() == "pmodel"


@pytest.mark.parametrize(("words", "found"), [("importance weighted bound", "metrics"), ("open_run", "python")])
def test_the_search_finds_words_in_a_page_that_is_opened_as_a_file(page, site: Path, words, found):
    page.goto((site / "docs" / "index.html").as_uri())
    page.locator("input[name=q]").fill(words)
    page.keyboard.press("Enter")
    page.locator(f"#search-results a[href*='docs/{found}.html']").first.wait_for(timeout=20_000)


def test_chinese_is_searched_by_pairs_of_characters(page, site: Path):
    module = loaded(SPHINX / "chinese.py")
    kept = module.EnglishAndChinese({}).split("VAE 的聚类算法, model=vae 云")
    assert sorted(kept) == sorted(["VAE", "model", "vae", "的聚", "聚类", "类算", "算法", "云"])
    page.goto((site / "search.html").as_uri())
    assert page.evaluate("splitQuery('聚类算法')") == ["聚类", "类算", "算法"]
    assert page.evaluate("splitQuery('VAE的 云 model=vae')") == ["VAE", "的", "云", "model", "vae"]


COURSE = r"""# 聚类

k-means 的目标函数 $J = \sum_{n=1}^{N} \lVert x_n - \mu_{z_n} \rVert^2$：

$$
\begin{aligned}
\log p(x) &\ge \mathbb{E}_{q(z \mid x)}\left[\log p(x \mid z)\right] - \mathrm{KL}(q \,\|\, p) \\
\hat\mu_k &= \frac{1}{N_k} \sum_{n : z_n = k} x_n, \qquad \Sigma = \begin{pmatrix} a & b \\ c & d \end{pmatrix}
\end{aligned}
$$

- in a list: $\mu_k$ costs no \$5, and `$PMODEL_DATA_DIR` is code

| 符号 | 含义 |
| --- | --- |
| $\pi_k$ | $\operatorname*{arg\,max}_k \log \mathcal{N}(x; \mu_k, \Sigma_k)$ |

<details>
<summary>Answer</summary>

It is $\nabla_\theta \ell$, see [above](#聚类):

```python
x = 1
```

| a | b |
| --- | --- |
| $\sqrt{2}$ | **2** |

</details>

![one pixel](images/pixel.gif)
<img src="images/pixel.gif" width="20" alt="again">
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A site of the same settings with a page as those of the course are."""
    pytest.importorskip("sphinx", reason="sphinx is not installed")
    folder = tmp_path_factory.mktemp("course")
    images = folder / "source" / "docs" / "course" / "images"
    images.mkdir(parents=True)
    Image.new("P", (1, 1)).save(images / "pixel.gif")
    (images.parent / "kmeans.zh.md").write_text(COURSE, encoding="utf-8")
    index = "# pmodel\n\n```{toctree}\ncourse/kmeans.zh\n```\n"
    (folder / "source" / "docs" / "index.md").write_text(index)
    command = ["-m", "sphinx", "--fail-on-warning", "--quiet", f"--conf-dir={SPHINX}", "source", "site"]
    result = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return folder / "site"


def test_formulas_are_mathml_in_paragraphs_lists_tables_and_what_is_folded(browser, course: Path):
    tab = browser.new_page(viewport={"width": 390, "height": 900})
    tab.goto((course / "docs" / "course" / "kmeans.zh.html").as_uri())
    assert tab.locator("html").get_attribute("lang") == "zh-CN"
    tab.locator("summary").click()
    heights = tab.evaluate("[...document.querySelectorAll('math')].map((m) => m.getBoundingClientRect().height)")
    assert len(heights) == 7
    assert min(heights) > 5
    for place in ("li", "td", "details", "details td", ".formula"):
        assert tab.locator(f"article {place} math").count() >= 1, place
    assert "&" not in "".join(tab.locator("article math").all_text_contents())
    assert tab.locator("article .formula mtr").count() == 4  # two lines, and a matrix of two
    assert "costs no $5, and $PMODEL_DATA_DIR is code" in tab.locator("article li").first.inner_text()
    assert tab.evaluate("document.querySelectorAll('article merror, article .error').length") == 0
    assert tab.evaluate("[...document.images].every((i) => i.naturalWidth === 1)")
    assert tab.evaluate(TOO_WIDE) == []
    tab.close()


def test_the_search_finds_chinese_words(browser, course: Path):
    tab = browser.new_page()
    tab.goto((course / "search.html").as_uri() + "?q=目标函数")
    tab.locator("#search-results a[href*='kmeans.zh.html']").first.wait_for(timeout=20_000)
    tab.goto((course / "search.html").as_uri() + "?q=聚合")
    tab.locator("#search-results .search-summary").wait_for(timeout=20_000)
    assert tab.locator("#search-results a[href*='kmeans']").count() == 0
    tab.close()
