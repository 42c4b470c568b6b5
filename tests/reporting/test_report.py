"""The page of an evaluation: what stands in it, read back by the standard library's parser of HTML."""

import base64
import copy
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from evaluated_runs import DATA, MODELS, SAMPLE, document, with_figures
from PIL import Image

from pmodel.reporting import page_widgets
from pmodel.reporting.comparison import MARKED, REFERENCE, comparison_tables
from pmodel.reporting.report import write_report
from pmodel.reporting.report_images import PageImage
from pmodel.reporting.texts import label_of
from pmodel.reporting.topics import GAP, ROW, PageFigure, topics

EVIL = '<script>alert("1")</script> & \'<b onclick="x">\''
MODELS_THAT_SAMPLE = [label for label in MODELS if label in SAMPLE]
# Elements without an end.
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Tags with their attributes, and text, of which each piece knows the elements around it."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((tuple(self.open), " ".join(data.split())))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self) -> str:
        return " ".join(text for around, text in self.texts if not {"style", "script"}.intersection(around))


@pytest.fixture(scope="module")
def nine(tmp_path_factory) -> tuple[dict, str]:
    folder = tmp_path_factory.mktemp("eval")
    results = with_figures(document(), folder)
    path = write_report(results, folder, None)
    assert path == folder / "report.html"
    return results, path.read_text(encoding="utf-8")


def section_of(text: str, key: str) -> str:
    """The section with that id."""
    start = text.index(f'<section id="{key}"')
    end = text.index("</section>", start) + len("</section>")
    return text[start:end]


def page_of(results: dict, folder: Path) -> Page:
    return Page(write_report(results, folder, None).read_text(encoding="utf-8"))


def test_every_element_is_closed_ids_are_unique_and_links_lead_to_them(nine):
    page = Page(nine[1])
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in page.all("a")]
    assert len(links) > 50
    assert {link.removeprefix("#") for link in links} <= set(ids)
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings.count("h1") == 1


def test_the_page_needs_nothing_else_and_runs_its_own_script_alone(nine):
    page = Page(nine[1])
    assert not {"iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action", "data"):
                assert value.startswith(("data:", "#")), (tag, name, value)
    assert page.all("script") == [{"type": "application/json", "id": "widgets"}, {}]
    (text,) = re.findall(r"<script>(.*?)</script>", nine[1], re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert "url(" not in nine[1]
    assert "@import" not in nine[1]
    assert "http://" not in nine[1]
    assert "https://" not in nine[1]
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_where_nothing_can_be_moved_no_script_runs(tmp_path):
    results = with_figures(document(), tmp_path)
    for run in results["runs"]:
        run["widgets"] = {}
    page = page_of(results, tmp_path)
    assert page.all("script") == []
    assert "play" not in [attributes.get("id") for _, attributes in page.tags]
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "script-src" not in policy
    del results["runs"][0]["widgets"]  # as of evaluations before there were any
    page_of(results, tmp_path)


def test_what_can_be_moved_is_in_the_page_by_figure_and_run_with_its_sheet(nine, tmp_path):
    (text,) = re.findall(r'<script type="application/json" id="widgets">(.*?)</script>', nine[1], re.DOTALL)
    widgets = json.loads(text)
    assert [(widget["title"], widget["label"]) for widget in widgets] == [
        *(("Epoch by epoch", label) for label in ("gan", "dcgan")),
        *(("Erase", label) for label in ("pixelcnn", "pixelrnn")),
        ("Turn latents", "vae"),
        *(("Walk among codes", label) for label in ("pca", "autoencoder", "vae")),
    ]
    results = with_figures(document(), tmp_path)
    sheets = sorted(tmp_path.glob("figures/*/*_tiles.png"))
    assert len(sheets) == len(widgets)
    of_vae = next(widget for widget in widgets if widget["title"] == "Turn latents")
    place = next(run["widgets"]["traversals"] for run in results["runs"] if run["label"] == "vae")
    png = (tmp_path / place.replace("_widget.json", "_tiles.png")).read_bytes()
    assert of_vae["tiles"]["uri"] == f"data:image/png;base64,{base64.b64encode(png).decode()}"
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (8 * 28, 8 * 28)


def test_a_page_that_would_be_too_large_says_of_which_runs_nothing_can_be_moved(tmp_path, monkeypatch):
    results = with_figures(document(["vae", "pca", "gan"]), tmp_path)
    size = 4 * sum(file.stat().st_size for file in tmp_path.glob("figures/run_0/*_tiles.png")) / 3
    monkeypatch.setattr(page_widgets, "MOST_BYTES", size + 100)
    text = write_report(results, tmp_path, None).read_text()
    assert "The page would be too large with those of pca, gan" in text
    (widgets,) = re.findall(r'<script type="application/json" id="widgets">(.*?)</script>', text, re.DOTALL)
    assert {widget["label"] for widget in json.loads(widgets)} == {"vae"}


def test_images_are_the_files_in_their_own_pixels_with_texts_in_their_place(nine, tmp_path):
    results = with_figures(document(), tmp_path)
    page = page_of(results, tmp_path)
    images = {}
    for image in page.all("img"):
        data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"), validate=True)
        width, height = Image.open(io.BytesIO(data)).size
        assert (image["width"], image["height"]) == (str(width), str(height))
        images[image["alt"]] = data
    assert len(images) == len(page.all("img"))
    files = 0
    for run in results["runs"]:
        for name, path in run["figures"].items():
            title = results["captions"][name]["title"] if name in results["captions"] else "Of tomorrow"
            alt = f"What {run['label']} makes" if name == "glance" else f"{title}: {run['label']}, {run['model']}"
            assert images[alt] == (tmp_path / path).read_bytes()
            files += 1
    # All others are plots of the document's curves.
    assert len(images) == files + 1


def test_the_first_screen_has_a_row_for_each_run_with_an_image_a_sentence_and_numbers_in_words(nine):
    rows = section_of(nine[1], "glance").split('<article class="model">')[1:]
    assert [re.search(r'<span class="label">(.*?)</span>', row)[1] for row in rows] == list(MODELS)
    for row in rows:
        assert row.count("<img ") == 1
        assert re.search(r'<p class="verdict">It [^<]+\.</p>', row)
        assert 2 <= row.count("<li title=") <= 3
    text = Page(f"<i>{rows[list(MODELS).index('pixelrnn')].partition('</article>')[0]}</i>").text()
    assert "It is best at exact likelihood of unseen examples and samples like the data." in text
    assert "0.14576 ± 0.00045 bits per dimension exact likelihood of unseen examples (higher is better)" in text
    assert "90.42 % realistic samples (higher is better; real examples: 94.40 %)" in text
    # Before any table, and after it the topics.
    assert nine[1].index('<section id="glance"') < nine[1].index("<table")


def test_what_a_diagnosis_says_stands_in_the_row_of_its_run_with_what_to_try(tmp_path):
    results = document(["vae", "gan"])
    results["runs"][0]["diagnosis"] = ["6 of 16 latents are in use; try model.beta=0.5", EVIL]
    vae, gan = section_of(write_report(results, tmp_path, None).read_text(), "glance").split("<article")[1:]
    text = Page(f"<i{vae.partition('</article>')[0]}</i>").text()
    assert "6 of 16 latents are in use; try model.beta=0.5" in text
    assert " ".join(EVIL.split()) in text
    assert "diagnosis" not in gan


def test_a_model_that_can_not_answer_is_named_once_in_words(nine, tmp_path):
    text = Page(nine[1]).text()
    for sentence in (
        "kmeans, pca and autoencoder can't be asked for samples.",
        "kmeans, pca, gmm, autoencoder, vae, gan and dcgan can't be asked for completions.",
        "gmm, pixelcnn, pixelrnn, gan and dcgan can't be asked for reconstructions.",
        "kmeans, pca and autoencoder can't be asked for a likelihood.",
    ):
        assert text.count(sentence) == 1
    for topic in ("samples", "likelihood", "completions", "reconstruction", "codes", "clusters", "cost"):
        assert "the model has no" not in section_of(nine[1], f"topic-{topic}")
    # What no run of the page can be asked for has no topic, and one sentence on the first screen.
    text = write_report(document(["kmeans"]), tmp_path, None).read_text()
    assert "kmeans can't be asked for samples, a likelihood or codes." in Page(section_of(text, "glance")).text()
    assert 'id="topic-samples"' not in text


def test_rows_without_a_number_are_left_out_and_a_hole_is_empty(nine):
    likelihood = section_of(nine[1], "topic-likelihood")
    rows = likelihood[likelihood.index("<tbody>") :].split("<tr>")[1:]
    labels = [re.search(r'<span class="label">(.*?)</span>', row)[1] for row in rows]
    assert labels == ["gmm", "vae", "pixelcnn", "pixelrnn", "gan", "dcgan"]
    holes = re.findall(r'<td class="hole[^>]*>(.*?)</td>', likelihood)
    assert len(holes) == 3 + 5 + 5
    assert set(holes) == {""}
    assert "sup>" not in nine[1]


def test_another_reason_for_a_hole_is_said_below_the_table(tmp_path):
    results = document(["vae", "gan"])
    gan = results["runs"][1]
    (recall,) = [number for number in gan["numbers"] if number["name"] == "recall"]
    gan["numbers"].remove(recall)
    gan["missing"].append({"name": "recall", "group": "samples", "reason": "some of the samples are not finite"})
    page = section_of(write_report(results, tmp_path, None).read_text(), "topic-samples")
    assert "Not measured: some of the samples are not finite (gan): recall." in Page(page).text()


def test_everything_that_is_missing_has_its_reason_at_the_end(nine):
    made = Page(section_of(nine[1], "made")).text()
    assert "can't be asked for samples (kmeans, pca, autoencoder): Parzen-window estimate, Fréchet distance" in made
    assert "figure samples" in made
    assert "the data are no known mixture: modes covered" in made


def test_pictures_come_before_numbers_and_all_but_the_first_figure_and_group_of_numbers_are_folded(nine):
    samples = section_of(nine[1], "topic-samples")
    names = ("What the model drew from", "<details>", "Neighbours", "Fréchet", "<details>", "Memorization", "nearest")
    place = 0
    for name in names:
        place = samples.index(name, place) + 1
    assert samples.count("<details>") == 2
    # A figure that says no group has a topic of its own.
    assert "Of tomorrow: vae" in section_of(nine[1], "topic-other")


def test_the_figure_of_most_runs_comes_first(tmp_path):
    results = with_figures(document(["vae", "gan", "dcgan"]), tmp_path)
    for run in results["runs"][:2]:
        del run["figures"]["samples"]
    found = topics(results, comparison_tables(results), tmp_path)
    assert [(figure.title, len(figure.images)) for figure in found[0].figures] == [("Neighbours", 3), ("Samples", 1)]


def test_the_height_of_pictures_is_as_set_else_as_fits_a_row(nine, tmp_path):
    heights = re.findall(r'class="pictures" style="--picture: (\d+)px"', nine[1])
    assert len(set(heights)) > 2
    results = with_figures(document(["vae"]), tmp_path)
    text = write_report(results, tmp_path, 333).read_text()
    assert set(re.findall(r"--picture: (\d+)px", text)) == {"333"}
    square = PageImage("data:,", 466, 466, "")
    found = [PageFigure("samples", "", [("a", square)] * count).height for count in (1, 2, 3, 5, 9)]
    assert found == [300, 300, 300, 218, 180]
    assert ROW - 5 < 5 * 218 + 4 * GAP <= ROW
    wide = PageImage("data:,", 2000, 400, "")
    height = PageFigure("curves", "", [("a", square), ("b", wide), ("c", wide)]).height
    assert ROW - 10 < 2 * 5 * height + GAP <= ROW


@pytest.mark.parametrize("place", ["label", "model", "run", "checkpoint"])
def test_what_users_name_is_text_and_never_markup(place, tmp_path):
    results = with_figures(document(["vae", "gan"]), tmp_path)
    plain = page_of(results, tmp_path)
    results["runs"][0][place] = EVIL
    page = page_of(results, tmp_path)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert " ".join(EVIL.split()) in page.text()


def test_no_other_text_of_the_document_becomes_markup(tmp_path):
    results = with_figures(document(["vae", "gan"]), tmp_path)
    plain = page_of(results, tmp_path)
    evil = copy.deepcopy(results)
    evil["hardware"] = evil["code"] = evil["versions"]["torch"] = evil["settings"]["probe"]["num_labels"] = EVIL
    for run in evil["runs"]:
        run["data"] = {**DATA, "class_names": [EVIL], EVIL: EVIL}
        run["config"]["model"]["activation"] = run["label"] + EVIL
        run["config"]["model"][EVIL + run["label"]] = 1
        run["missing_figures"] = dict.fromkeys(run["missing_figures"], EVIL)
        for missing in run["missing"]:
            missing["reason"] = EVIL + missing["reason"]
        for number in run["numbers"] + run["references"]:
            number["name"] += EVIL
            number["unit"] += EVIL
            number["protocol"] = {"feature_network": EVIL}
        for curve in run["curves"]:
            curve["name"] += EVIL
            curve["x_label"] = EVIL + "$\\frac"
    text = write_report(evil, tmp_path, None).read_text(encoding="utf-8")
    known = {tag for tag, _ in plain.tags}
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= known | {"ul", "li", "p", "strong"}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert (text.count("<b "), text.count("<script")) == (0, 2)


def test_a_table_has_a_row_for_each_run_and_marks_the_best_with_more_than_colour(nine):
    samples = section_of(nine[1], "topic-samples")
    table = samples[samples.index('aria-label="Quality of samples"') : samples.index('aria-label="Memorization"')]
    rows = table.split("<tr>")[1:]
    labels = [re.search(r'<span class="label">(.*?)</span>', row) for row in rows]
    assert [match[1] for match in labels if match] == [*MODELS_THAT_SAMPLE, REFERENCE]
    best = [row for row in rows if 'class="best"' in row]
    assert len(best) == 1
    assert "pixelrnn" in best[0]
    assert best[0].count("★") == 3
    assert "2.874" in best[0]
    assert "kernel distance</strong> was measured differently" in table
    assert "★" not in rows[-1]


def test_exact_values_bounds_and_estimates_are_headed_apart(nine):
    kinds = re.findall(r'<th scope="colgroup" colspan="(\d)" class="first">(\w+)</th>', nine[1])
    assert kinds == [("1", "exact"), ("2", "bound"), ("1", "estimate")]


@pytest.mark.parametrize(
    ("labels", "title", "introduction"),
    [
        (
            ["vae"],
            "vae on mnist",
            "One trained model, vae, is evaluated on the 10,000 test examples of mnist.",
        ),
        (
            ["vae", "gan"],
            "2 models on mnist",
            "2 trained models are evaluated on the 10,000 test examples of mnist. No model was trained on these",
        ),
    ],
)
def test_title_and_introduction_say_what_was_evaluated_on_what(labels, title, introduction, tmp_path):
    page = page_of(document(labels), tmp_path)
    assert [text for around, text in page.texts if around[-1] in ("title", "h1")] == [title, title]
    assert introduction in page.text()


def test_a_page_explains_no_sign_that_it_has_not(tmp_path):
    alone = page_of(document(["vae"]), tmp_path).text()
    assert "★" not in alone
    assert "± is the standard error." in alone
    assert "the data are no known mixture: modes covered" in alone
    text = page_of(document(["vae", "gan"]), tmp_path).text()
    assert f"★ marks {MARKED}." in text


def test_conditions_that_all_numbers_share_stand_once_at_the_end(nine):
    conditions = (
        "10,000 test examples of mnist; samples: 10,000 (kernel distance: 1,000); features: labels, 91d0c8a2b7e4."
    )
    assert Page(nine[1]).text().count(conditions) == 1
    assert conditions in Page(section_of(nine[1], "made")).text()


def test_figures_say_once_of_which_split_they_are(tmp_path):
    results = with_figures(document(["vae", "gan"]), tmp_path)
    sentence = "Held-out examples in the figures are those of the validation split"
    assert page_of(results, tmp_path).text().count(sentence) == 1
    results["split"] = "validation"
    assert sentence not in page_of(results, tmp_path).text()
    assert sentence not in page_of(document(["vae", "gan"]), tmp_path).text()


def test_more_columns_than_a_page_is_wide_go_on_in_a_second_table(tmp_path):
    results = document(["vae", "gan"])
    for run in results["runs"]:
        (one,) = [number for number in run["numbers"] if number["name"] == "precision"]
        run["numbers"] += [one | {"name": f"more_{i}", "label": f"more {i}"} for i in range(6)]
    text = write_report(results, tmp_path, None).read_text(encoding="utf-8")
    heads = []
    for title in ("Quality of samples", "Quality of samples, continued"):
        part = text[text.index(f'aria-label="{title}"') :]
        part = part[: part.index("</thead>")]
        heads.append([name.strip() for name in re.findall(r'<th scope="col">(.*?)\n', part)])
    names = ["Fréchet distance", "kernel distance", "precision", "recall", *(f"more {i}" for i in range(6))]
    assert [["run</th>", *names[:5]], ["run</th>", *names[5:]]] == heads


def test_a_run_that_was_stopped_or_could_not_be_evaluated_says_so(tmp_path):
    results = with_figures(document(["vae", "gan"]), tmp_path)
    results["runs"][0]["status"], results["runs"][1]["status"] = "stopped", "done"
    results["failed"] = [{"run": "logs/x", "label": "dcgan", "reason": EVIL}]
    page = page_of(results, tmp_path)
    tags = [text for around, text in page.texts if around[-2:] == ("span", "span") and text != "best:"]
    assert set(tags) >= {"stopped"}
    assert [text for around, text in page.texts if around[-1] == "figcaption"][:2] == ["vae (stopped)", "gan"]
    assert "done" not in page.text()
    assert f"Not evaluated: dcgan (logs/x): {EVIL}" in page.text()
    assert "Not evaluated" not in page_of(document(), tmp_path).text()


def test_a_caveat_stands_below_its_table(tmp_path):
    results = document(["vae", "pixelcnn"])
    number = next(n for n in results["runs"][0]["numbers"] if n.get("label") == "Fréchet distance")
    number["caveats"] = ["it has no bound"]
    assert "Not ranked: it has no bound: Fréchet distance (vae)." in page_of(results, tmp_path).text()


def test_an_ideal_stands_where_an_arrow_would(tmp_path):
    results = document(["vae"])
    del results["runs"][0]["numbers"][3]["better"]
    results["runs"][0]["numbers"][3]["ideal"] = 0.5
    small = [text for around, text in page_of(results, tmp_path).texts if around[-1] == "small"]
    assert [text for text in small if "ideal" in text] == ["distance of features (0.5 is ideal)"]


def test_floats_of_the_protocol_have_four_digits(tmp_path):
    results = document(["vae"])
    results["runs"][0]["numbers"][0]["protocol"]["bandwidth"] = 2.828643854222218
    page = page_of(results, tmp_path)
    assert "bandwidth 2.829 " in page.text()
    assert "2.8286" not in page.text()


def test_data_that_differ_have_tables_of_their_own_with_what_differs(tmp_path):
    results = document(["vae", "gan"])
    results["runs"][1]["data"] = {**DATA, "binarize": "dynamic"}
    page = page_of(results, tmp_path)
    headings = [text for around, text in page.texts if around[-1] == "h2"]
    assert headings[:2] == ["mnist, binarize: static", "mnist, binarize: dynamic"]
    assert "their numbers do not compare" in page.text()
    assert "★" not in page.text()


def test_settings_that_differ_are_compared_and_places_are_not(nine):
    text = nine[1][nine[1].index('id="settings"') : nine[1].index('id="provenance"')]
    keys = re.findall(r'<th scope="row">(.*?)</th>', text)
    assert keys == ["trainer.max_epochs", "model._target_", "model.latent_dim"]
    assert re.findall(r"<td[^>]*>(40|25)</td>", text) == ["25" if label == "pixelrnn" else "40" for label in MODELS]
    assert re.findall(r"<dt>(.*?)</dt>", text) == [f"model.{label}" for label in MODELS]


def test_a_single_run_has_no_settings_to_compare_and_shows_what_was_typed(tmp_path):
    results = document(["vae"])
    assert "Settings that differ" not in page_of(results, tmp_path).text()
    results["runs"][0]["overrides"] = ["model=vae", "data.binarize=static"]
    assert "What was typed: model=vae data.binarize=static" in page_of(results, tmp_path).text()


def test_each_number_has_its_protocol_and_checkpoints_their_hashes(nine):
    results, text = nine
    protocol = Page(text[text.index('<details id="numbers">') : text.index('<details id="missing">')]).text()
    for run in results["runs"]:
        assert run["checkpoint_sha256"] in text
        for number in run["numbers"]:
            assert label_of(number) in protocol
            assert results["meanings"].get(number["name"], "") in protocol
    assert "sigma 0.13 (gmm, vae, gan); 0.18 (pixelcnn, pixelrnn); 0.15 (dcgan)" in protocol
    # What the data say for all is said once.
    assert protocol.count("split_seed") == 1


def test_curves_are_one_plot_of_all_runs_without_their_holes(nine, tmp_path):
    images = Page(section_of(nine[1], "topic-likelihood")).all("img")
    assert [image["alt"] for image in images] == ["importance-weighted bound over K: autoencoder, vae"]
    results = document(["vae"])
    (curve,) = results["runs"][0]["curves"]
    curve["y"][1] = curve["error"][2] = None
    assert "importance-weighted bound over K" in page_of(results, tmp_path).text()
