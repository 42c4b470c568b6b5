"""Writes docs/gallery.md: pictures of runs, each with the command that makes it, a number, and a page that explains it.

    uv run docs/gallery.py

The runs are those of zoo/, the comparison and the curve of docs/compare.md and docs/few_labels.md, and those of the
course, whose films are in docs/course/images/ and whose words in docs/course/numbers.json.
"""

import importlib.util
import json
import re
from pathlib import Path

from pmodel.reporting.decimals import with_error

ROOT = Path(__file__).parents[1]
DOCS, ZOO = ROOT / "docs", ROOT / "zoo"
COURSE = DOCS / "course"
# Of each run: what it is called, and the pages that explain it, of which the first that there is.
RUNS = {
    "kmeans": ("k-means", "course/kmeans.md", "figures.md"),
    "pca": ("PCA", "course/pca.md", "figures.md"),
    "pca_gmm": ("Mixture on principal components", "course/density.md", "metrics.md"),
    "autoencoder": ("Autoencoder", "course/autoencoder.md", "figures.md"),
    "vae": ("VAE", "course/vae.md", "metrics.md"),
    "vae_2d": ("VAE of two dimensions", "course/vae.md", "figures.md"),
    "pixelcnn": ("PixelCNN", "course/autoregressive.md", "autoregressive.md"),
    "pixelrnn": ("PixelRNN", "course/autoregressive.md", "autoregressive.md"),
    "dcgan": ("DCGAN", "course/gan.md", "adversarial.md"),
}
# Figures of these runs below their headings: what each shows, which number stands beside it, and of which runs.
SHOWN = {
    "Samples": {"samples": ("samples", "frechet_distance", ("dcgan", "pixelrnn", "pixelcnn", "vae", "pca_gmm"))},
    "Half given, half drawn": {
        "completions": ("completions", "negative_log_likelihood", ("pixelrnn", "pixelcnn")),
    },
    "What a code keeps": {
        "reconstructions": ("reconstructions", "reconstruction_error", ("autoencoder", "pca", "vae")),
    },
    "Hidden structure": {
        "centres": ("centres", "clustering_accuracy", ("kmeans", "pca_gmm")),
        "components": ("components", "reconstruction_error", ("pca",)),
        "latent_manifold": ("the plane of codes, decoded", "negative_importance_weighted_bound", ("vae_2d",)),
    },
}


def rendered() -> str:
    """docs/gallery.md."""
    parts = [
        "# Gallery",
        "Each picture is of a run of this project, with the command that makes it, one of its numbers, and the page"
        " that explains it. `uv run docs/gallery.py` writes this page from the files of the runs. ± is the standard"
        " error; sd is the standard deviation over draws of the labels. The runs of one model are of 5,000 digits of"
        " MNIST, and come with pmodel: `uv run eval.py run=zoo/vae` needs no training ([zoo](../zoo/README.md)).",
    ]
    if films := [film(path) for end in ("gif", "webp") for path in sorted((COURSE / "images").glob(f"*.{end}"))]:
        parts += ["## Trainings as films", *films]
    words = words_of_runs()
    for heading, figures in SHOWN.items():
        parts.append(f"## {heading}")
        for figure, (title, number, names) in figures.items():
            parts += [of_zoo(name, figure, title, number, words[name]) for name in names]
    return "\n\n".join([*parts, "## Several runs", comparison(), few_labels()]) + "\n"


def tile(title: str, image: str, command: str, number: str, page: str) -> str:
    """A heading, the picture, which leads to its page, and what there is to say."""
    said = [f"```\n{command}\n```"] * bool(command) + [
        f"{number}. [Read on]({page})" if number else f"[Read on]({page})"
    ]
    return "\n\n".join([f"### {title}", f"[![{title}]({image})]({page})", *said])


def film(path: Path) -> str:
    numbers = json.loads((COURSE / "numbers.json").read_text(encoding="utf-8"))
    said = next(entry for entry in numbers.values() if path.name in entry["pictures"])
    number = next(iter(said["numbers"].values()), None)
    text = "" if number is None else f"{number['label']}: {number['text']}"
    text += "" if number is None or number["unit"] in ("", "of 1") else f" {number['unit']}"
    return tile(said["title"], f"course/images/{path.name}", said["command"], text, f"course/{said['page']}")


def words_of_runs() -> dict[str, str]:
    """What is typed to train each run of the zoo."""
    spec = importlib.util.spec_from_file_location("make", ZOO / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: kept.words for name, kept in module.RUNS.items()}


def of_zoo(name: str, figure: str, title: str, number: str, words: str) -> str:
    model, *pages = RUNS[name]
    results = json.loads((ZOO / name / "results.json").read_text(encoding="utf-8"))
    (found,) = (entry for entry in results["numbers"] if entry["name"] == number)
    value, error = with_error(found["value"], found.get("standard_error"))
    unit = "" if found["unit"] in ("of 1", "distance of features") else f" {found['unit']}"
    text = f"{found['label']}: {value} ± {error}{unit}"
    page = next(page for page in pages if (DOCS / page).exists())
    return tile(f"{model}: {title}", f"../zoo/{name}/figures/{figure}.png", f"uv run train.py {words}", text, page)


def comparison() -> str:
    page = (DOCS / "compare.md").read_text(encoding="utf-8")
    names, values = (
        [cell.strip() for cell in re.search(rf"^\|{start}.*$", page, re.MULTILINE)[0].split("|")]
        for start in ("  \\|", " negative log-likelihood, exact")
    )
    value = dict(zip(names, values, strict=True))["pixelcnn"].replace("*", "").partition(" (")[0]
    text = f"negative log-likelihood of the PixelCNN: {value} nats"
    command = "uv run train.py experiment=compare"
    return tile("One model of each family: samples", "images/compare.png", command, text, "compare.md")


def few_labels() -> str:
    page = (DOCS / "few_labels.md").read_text(encoding="utf-8")
    accuracy = re.search(r"^\| 1000 \|.*\*\*(.*)\*\*", page, re.MULTILINE)[1]
    command = re.search(r"^uv run train\.py experiment=few_labels_mnist.*$", page, re.MULTILINE)[0]
    text = f"accuracy with 1,000 labels, fine-tuned: {accuracy}"
    return tile("Features of a VAE, with few labels", "images/accuracy_over_labels.png", command, text, "few_labels.md")


if __name__ == "__main__":
    (DOCS / "gallery.md").write_text(rendered(), encoding="utf-8")
