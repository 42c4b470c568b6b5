"""Runs the commands of the course, and keeps what its pages show: pictures, films, numbers and times.

uv run docs/course/make.py              # all of them
uv run docs/course/make.py vae gan      # these

What a page says of a number stands in numbers.json; a test reads it there, and a slow one measures it again.
"""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from pmodel.reporting.texts import label_of, value_text

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NUMBERS = HERE / "numbers.json"


class Command(NamedTuple):
    """What a page has a reader type.

    title: of its film, in the gallery
    page: the page's file
    numbers: of results.json, by the run's name where there are several, "vae/fid", and by how much, as a share, another
        processor's may differ
    pictures: of its folder, by the names that they get in images/
    """

    title: str
    page: str
    words: str
    numbers: dict[str, float]
    pictures: dict[str, str]


PAGES = {
    "kmeans": Command(
        "k-means from a bad start",
        "kmeans.md",
        "train.py experiment=film_kmeans",
        {"inertia": 0.02},
        {"kmeans.gif": "figures/film.gif"},
    ),
    "kmeans_better": Command(
        "k-means from good starts",
        "kmeans.md",
        "train.py experiment=film_kmeans model.start=k-means++ model.num_starts=4",
        {"inertia": 0.02},
        {"kmeans_better.png": "figures/clusters.png"},
    ),
    "pca": Command(
        "The principal axes of more and more points",
        "pca.md",
        "train.py experiment=film_pca",
        {},
        {"pca.gif": "figures/film.gif"},
    ),
    "pca_digits": Command(
        "Principal components of more and more digits",
        "pca.md",
        "train.py model=pca data.batch_size=100 'callbacks=[default,film]'",
        {"explained_variance": 0.02, "squared_error_per_pixel": 0.02},
        {"pca_digits.gif": "figures/film.gif", "pca_digits.png": "figures/reconstructions.png"},
    ),
    "autoencoder": Command(
        "The codes of an autoencoder",
        "autoencoder.md",
        "train.py experiment=film_autoencoder",
        {"squared_error_per_pixel": 0.1},
        {"autoencoder.gif": "figures/film.gif", "autoencoder.png": "figures/reconstructions.png"},
    ),
    "pca_plane": Command(
        "PCA with two components",
        "autoencoder.md",
        "train.py model=pca model.num_components=2",
        {"squared_error_per_pixel": 0.02},
        {},
    ),
    "density": Command(
        "EM from a bad start",
        "density.md",
        "train.py experiment=film_gmm",
        {"negative_log_density": 0.02},
        {"density.gif": "figures/film.gif"},
    ),
    "kde": Command(
        "Kernels from narrow to wide",
        "density.md",
        "train.py experiment=film_kde",
        {"negative_log_density": 0.02},
        {"kde.gif": "figures/film.gif"},
    ),
    "generative_models": Command(
        "Three branches of the tree",
        "generative_models.md",
        "eval.py 'run=[zoo/pixelcnn,zoo/vae,zoo/dcgan]' metric.likelihood.num_samples=50"
        " metric.samples.num_samples=500 callbacks.figures=null",
        {"pixelcnn/negative_log_likelihood": 0.01, "vae/negative_importance_weighted_bound": 0.01},
        {"generative_models.png": "samples.png"},
    ),
    "autoregressive": Command(
        "PixelRNN draws digits",
        "autoregressive.md",
        "train.py experiment=film_pixelrnn",
        {"negative_log_likelihood": 0.05},
        {"autoregressive.gif": "figures/film.gif", "autoregressive.png": "figures/likelihood_map.png"},
    ),
    "vae": Command(
        "The codes of a VAE",
        "vae.md",
        "train.py experiment=film_vae",
        {"negative_elbo": 0.05, "reconstruction": 0.05, "kl": 0.15},
        {"vae.gif": "figures/film.gif", "vae.png": "figures/samples.png"},
    ),
    "gan": Command(
        "The two players of a GAN",
        "gan.md",
        "train.py experiment=film_gan",
        {"high_quality_samples": 0.15},
        {"gan.gif": "figures/film.gif"},
    ),
    "compare": Command(
        "Four models in one table",
        "compare.md",
        "eval.py 'run=[zoo/kmeans,zoo/pca_gmm,zoo/vae,zoo/dcgan]' metric.likelihood.num_samples=50"
        " metric.memorization=null callbacks.figures=null",
        {},
        {"compare.png": "samples.png"},
    ),
}


def run(command: Command, folder: Path) -> tuple[Path, float]:
    """Types a command in a folder, and gives the directory that it wrote, and its seconds."""
    script, *words = shlex.split(command.words)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, ROOT / script, *words], cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"error: {command.words}: {done.stderr.strip()}")
    written = sorted((folder / "logs").glob("*/*/*/results.json")) or sorted((folder / "logs").glob("*/*/results.json"))
    return written[-1].parent, seconds


def numbers_of(results: Path) -> dict[str, dict[str, Any]]:
    """The numbers of a results file by their names, with the run's before it where there are several runs."""
    document = json.loads(results.read_text(encoding="utf-8"))
    if "runs" not in document:
        return {number["name"]: number for number in document["numbers"]}
    return {f"{run['label']}/{number['name']}": number for run in document["runs"] for number in run["numbers"]}


def entry(number: dict[str, Any]) -> dict[str, Any]:
    """What a page, and the gallery, say of a number."""
    return {"label": label_of(number), "value": number["value"], "text": value_text(number), "unit": number["unit"]}


def main(names: list[str]) -> None:
    found = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    for name in names or PAGES:
        command = PAGES[name]
        with tempfile.TemporaryDirectory() as folder:
            directory, seconds = run(command, Path(folder))
            numbers = numbers_of(directory / "results.json")
            for picture, place in command.pictures.items():
                shutil.copyfile(directory / place, HERE / "images" / picture)
        shown = {key: entry(numbers[key]) for key in command.numbers}
        found[name] = {
            "title": command.title,
            "page": command.page,
            "command": f"uv run {command.words}",
            "seconds": round(seconds, 1),
            "pictures": list(command.pictures),
            "numbers": shown,
        }
        print(f"{name}: {seconds:.1f} s,", *(f"{key} {number['text']}" for key, number in shown.items()))
    found = {name: found[name] for name in PAGES if name in found}
    NUMBERS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
