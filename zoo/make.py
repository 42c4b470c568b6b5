"""Makes the trained runs in this folder, and the table in README.md.

    uv run zoo/make.py              # all
    uv run zoo/make.py vae pca      # these, and the table

Each is trained in logs/zoo/NAME, unless there is a finished run in it. What a later command needs of it is copied to
zoo/NAME, and that copy is evaluated on the test split: its results.json has the numbers of the weights that are stored.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf
from PIL import Image

from pmodel.files.run_files import BEST, CONFIG, METRICS, OVERRIDES, RESULTS, STATUS
from pmodel.reporting.decimals import with_error
from pmodel.runs.results import write_json
from pmodel.runs.saved import read_checkpoint, read_overrides, read_status

ROOT = Path(__file__).parents[1]
ZOO, LOGS = ROOT / "zoo", ROOT / "logs" / "zoo"
SMALL = "model.network.encoder.hidden_dims=[80] model.network.decoder.hidden_dims=[80] model.optimizer.lr=0.003"
# Smaller than these, a tensor is a count or a rate, and saves nothing.
MIN_NUMBERS = 16
# Of a figure: so few, and its file is a third as large.
NUM_COLORS = 32


class Kept(NamedTuple):
    """A run of the zoo.

    words: what is typed to train it, besides data=mnist_5k
    number: its main number, by the name in results.json
    figures: those of its evaluation that are kept
    half: whether its weights are stored as float16, and what only a training needs as bfloat16
    """

    words: str
    number: str
    figures: tuple[str, ...]
    half: bool = False


BOUND, EXACT = "negative_importance_weighted_bound", "negative_log_likelihood"
DCGAN = "model=dcgan model.latent_dim=64 model.players.generator.channels=12 model.players.discriminator.channels=12"
RUNS = {
    "kmeans": Kept("model=kmeans", "clustering_accuracy", ("centres",)),
    "pca": Kept("model=pca", "reconstruction_error", ("components", "reconstructions")),
    "pca_gmm": Kept("model=pca_gmm", "clustering_accuracy", ("centres", "samples")),
    "autoencoder": Kept(f"model=autoencoder {SMALL}", "reconstruction_error", ("reconstructions",), True),
    "classifier": Kept("model=classifier model.encoder.hidden_dims=[128,64]", "accuracy", (), True),
    "vae": Kept(f"model=vae {SMALL}", BOUND, ("samples", "reconstructions"), True),
    "vae_2d": Kept(f"model=vae_2d {SMALL}", BOUND, ("latent_manifold",), True),
    "pixelcnn": Kept(
        "model=pixelcnn model.num_blocks=3 trainer.max_steps=1500", EXACT, ("samples", "completions"), True
    ),
    "pixelrnn": Kept("model=pixelrnn", EXACT, ("samples", "completions")),
    "dcgan": Kept(f"{DCGAN} callbacks.frechet.every_n_epochs=5", "frechet_distance", ("samples",), True),
}


def main(*names: str) -> None:
    for name in names or RUNS:
        make(name, RUNS[name])
    text = (ZOO / "README.md").read_text(encoding="utf-8")
    head, _, rest = text.partition("<!-- runs -->\n")
    tail = rest.partition("<!-- /runs -->")[2]
    (ZOO / "README.md").write_text(f"{head}<!-- runs -->\n{table()}<!-- /runs -->{tail}", encoding="utf-8")


def make(name: str, kept: Kept) -> None:
    """Trains a run, where it is not trained, stores it and evaluates what is stored."""
    source, target, typed = LOGS / name, ZOO / name, ["data=mnist_5k", *kept.words.split()]
    is_done = read_status(source / STATUS, name).get("status") == "done"
    if not (is_done and read_overrides(source, name) == typed):
        shutil.rmtree(source, ignore_errors=True)
        command("train", *typed, f"hydra.run.dir={source.relative_to(ROOT)}")
    shutil.rmtree(target, ignore_errors=True)
    (target / "checkpoints").mkdir(parents=True)
    for file in (CONFIG, OVERRIDES, STATUS, METRICS, RESULTS):
        shutil.copyfile(source / file, target / file)
    content = read_checkpoint(source / "checkpoints" / BEST, name)
    torch.save(stored(content, kept.half), target / "checkpoints" / BEST)
    evaluation = source / "eval_of_zoo"
    shutil.rmtree(evaluation, ignore_errors=True)
    command("eval", f"run=zoo/{name}", f"hydra.run.dir={evaluation.relative_to(ROOT)}")
    document = json.loads((evaluation / RESULTS).read_text(encoding="utf-8"))
    (run,) = document["runs"]
    shared = {key: document[key] for key in ("split", "hardware", "versions", "code")}
    own = {key: run[key] for key in ("checkpoint", "checkpoint_sha256", "epoch", "seed")}
    write_json(target / RESULTS, {"schema": document["schema"], **shared, **own, "numbers": run["numbers"]})
    (target / "figures").mkdir()
    for figure in kept.figures:
        image = Image.open(evaluation / "figures" / f"{figure}.png")
        image.quantize(NUM_COLORS).save(target / "figures" / f"{figure}.png", optimize=True)


def command(name: str, *words: str) -> None:
    print(f"{name}.py {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, f"{name}.py", *words], cwd=ROOT, check=True)


def stored(content: Any, half: bool, key: str = "") -> Any:
    """What a checkpoint holds, with paths in the run's directory alone.

    half: of large tensors, weights become float16; the optimizer's averages, whose range is wider, bfloat16
    """
    if isinstance(content, dict):
        return {stored(name, half): stored(value, half, f"{key}/{name}") for name, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(stored(value, half, key) for value in content)
    if isinstance(content, str) and Path(content).is_absolute():
        return "/".join(("checkpoints", *Path(content).parts[Path(content).parts.index("checkpoints") + 1 :]))
    if half and isinstance(content, torch.Tensor) and content.dtype == torch.float32 and content.numel() >= MIN_NUMBERS:
        return content.to(torch.bfloat16 if key.startswith("/optimizer_states") else torch.float16)
    return content


def table() -> str:
    """The runs that are stored, as Markdown."""
    rows = ["| run | model | parameters | size, KB | epochs | training, s | main number, test split | stored as |"]
    rows.append("| --- | --- | ---: | ---: | ---: | ---: | --- | --- |")
    hardware = set()
    for name, kept in RUNS.items():
        folder = ZOO / name
        results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        numbers = {number["name"]: number for number in results["numbers"]}
        hardware.add(
            f"{results['hardware']}, pmodel {results['versions']['pmodel']}, torch {results['versions']['torch']}"
        )
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        main = numbers[kept.number]
        value, error = with_error(main["value"], main.get("standard_error"))
        settings = OmegaConf.load(folder / CONFIG)
        cells = [
            f"`zoo/{name}`",
            f"{settings.model._target_.rpartition('.')[2]}, `{kept.words}`",
            f"{numbers['parameters']['value']:,}",
            f"{size / 1000:.0f}",
            f"{results['epoch']}",
            f"{numbers['training_time']['value']:,.1f}",
            f"{main['label']}: {value}{f' ± {error}' if error else ''} {main['unit']} ({main['count']:,} examples)",
            "float16, bfloat16" if kept.half else "as trained",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", f"Measured on {'; '.join(sorted(hardware))}.", ""])


if __name__ == "__main__":
    main(*sys.argv[1:])
