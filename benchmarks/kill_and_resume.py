"""Runs that are killed at random moments and resumed, against runs that were never killed: bit for bit.

A trial trains a small model of one of the three ways of training, with all that is random in a step, and kills it (as
`kill -9` does) up to three times: at a random moment, or inside the writing of a file. Each time it is resumed, the
last time to its end. Then all that it left is compared with what an undisturbed run of the same settings left:
last.ckpt and best.ckpt (weights, optimizers, schedules, generators, positions), results.json, metrics.csv and the
figures; the times alone may differ.

Each run is a fork of this process, which has imported everything; those of two processes are two forks. With `--real N`
the first N of these are started as a user starts them, `train.py trainer=ddp_cpu`, with nothing preset in the
environment, and so is the run that they are compared with; each is killed once, while it trains.

With `--storage disk` the same digits lie in a folder of images, which each run decodes into shards of its own.

    uv run benchmarks/kill_and_resume.py [--trials 100] [--json FILE]
    uv run benchmarks/kill_and_resume.py --trials 40 --processes 2 --real 40
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from forks import Fork, Started, import_everything
from same_run import compare

ROOT = Path(__file__).parents[1]
# What decides how many threads compute, and so last digits; a user has set none of them.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC")
DATA = [
    "data=digits",
    *("data.limit=150", "data.batch_size=32", "trainer=cpu", "trainer.max_epochs=4", "trainer.log_every_n_steps=2"),
    *("callbacks.last.every_n_steps=3", "callbacks.snapshots.every_n_epochs=2", "callbacks.snapshots.keep=1"),
    *("callbacks.final.num_samples=3", "logger=csv", "callbacks.progress.refresh_per_second=1"),
]
# Figures that take long and say no more of exactness than the others.
FIGURES = ["arithmetic", "neighbours", "completions", "likelihood_map", "latent_manifold", "latent_scatter", "pairs"]
DATA += [f"callbacks.figures.include.{name}=null" for name in FIGURES]
KINDS = {
    "vae": [
        "model=vae",
        "model.ema_decay=0.9",
        "model/schedule=cosine",
        "data.binarize=dynamic",
        "model.free_bits=0.05",
    ],
    "pixelcnn_gated": [
        *("model=pixelcnn_gated", "model.dropout=0.3", "model.hidden_channels=8", "model.num_layers=2"),
        *("model.head_channels=8", "model.ema_decay=0.9", "callbacks.figures.include.samples.num_images=4"),
        *("callbacks.figures.include.samples_over_time=null", "data.flip=true"),
    ],
    "gan": [
        *("model=gan", "model.num_discriminator_steps=3", "model.ema_decay=0.9", "model.r1=1"),
        *("callbacks.frechet.num_samples=100",),
    ],
    "kmeans": ["model=kmeans", "model.num_clusters=5", "model.init_size=100"],
    "gmm": ["model=gmm", "model.num_components=3", "model.reg_covar=1e-2", "model.tolerance=0"],
}


class Trial(NamedTuple):
    """What happened: where it was killed, and what differs from the undisturbed run."""

    kind: str
    processes: int
    real: bool
    kills: list[str]
    differences: list[str]


class Runs:
    """Trials in a folder of their own, and the undisturbed runs that they are compared with."""

    def __init__(self, folder: Path, seed: int, settings: Sequence[str] = ()):
        self.folder, self.random, self.settings = folder, random.Random(seed), settings
        self.count = 0
        self.references: dict[tuple[str, int, bool], tuple[Path, float]] = {}

    def reference(self, kind: str, processes: int, real: bool = False) -> tuple[Path, float]:
        """The directory of an undisturbed run, and how long it took: of a real one, from when its training began."""
        if (kind, processes, real) not in self.references:
            directory = self.folder / f"{kind}_{processes}{'_real' if real else ''}"
            started = time.time()
            run = self._start(kind, processes, directory, real=real)
            if real:
                started = run.wait_for_write(directory / "status.json", started)
            run.finish()
            self.references[kind, processes, real] = directory, time.time() - started
        return self.references[kind, processes, real]

    def trial(self, kind: str, processes: int, real: bool = False) -> Trial:
        """Kills and resumes a run, and compares its end."""
        expected, seconds = self.reference(kind, processes, real)
        self.count += 1
        directory, kills = self.folder / f"trial_{self.count:03d}", []
        for _ in range(1 if real else self.random.choice((1, 1, 2, 3))):
            wait = self.random.uniform(0.1, seconds)
            in_write = None if real or self.random.random() < 0.6 else self.random.randrange(1, 25)
            started = time.time()
            run = self._start(kind, processes, directory, in_write, real)
            if real:
                run.wait_for_write(directory / "status.json", started)
            kills.append(run.kill_after(wait if in_write is None else 600))
            if kills[-1] == "ended before" or is_done(directory):
                break
        else:
            self._start(kind, processes, directory, None, real).finish()
        differences = compare(expected, directory)
        if not differences:
            shutil.rmtree(directory)
        return Trial(kind, processes, real, kills, differences)

    def _start(
        self, kind: str, processes: int, directory: Path, in_write: int | None = None, real: bool = False
    ) -> Started:
        settings = [*DATA, *KINDS[kind], *self.settings, f"trainer.devices={processes}"]
        begun = (directory / "config.yaml").is_file()
        arguments = [f"resume={directory}"] if begun else [*settings, f"hydra.run.dir={directory}"]
        own = directory.with_suffix(".data") if "data.storage=disk" in DATA else self.folder / "data"
        arguments.append(f"data_dir={own}")
        output = directory.with_suffix(".txt")
        if real:
            with output.open("ab") as file:
                command = [sys.executable, str(ROOT / "train.py"), *arguments]
                bare = {name: value for name, value in os.environ.items() if name not in THREADS}
                process = subprocess.Popen(
                    command, stdout=file, stderr=file, start_new_session=True, cwd=self.folder, env=bare
                )
            return Started([process.pid], output, group=True)
        works = [Fork(arguments, output, self.folder, in_write)]
        if processes == 2:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            works = [
                Fork(arguments, output, self.folder, in_write, rank=0, port=port),
                Fork(arguments, output, self.folder, None, rank=1, port=port, directory=directory),
            ]
        return Started([work.start() for work in works], output)


def is_done(directory: Path) -> bool:
    """Whether a run had come to its end when it was killed: there is nothing left to resume."""
    status = directory / "status.json"
    return status.is_file() and json.loads(status.read_text(encoding="utf-8"))["status"] == "done"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--real", type=int, default=3, help="how many of two processes are started by train.py itself")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2], choices=(1, 2))
    parser.add_argument("--storage", default="memory", choices=("memory", "disk"), help="where the examples are held")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="where differing trials are kept; default: a temporary folder")
    arguments = parser.parse_args()
    import_everything()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="kill_and_resume_"))
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.storage == "disk":
        hold_on_disk(folder.absolute())
    runs, trials, real = Runs(folder.absolute(), arguments.seed), [], arguments.real
    for number in range(arguments.trials):
        kind = arguments.kinds[number % len(arguments.kinds)]
        processes = arguments.processes[number // len(arguments.kinds) % len(arguments.processes)]
        trials.append(runs.trial(kind, processes, real=processes == 2 and real > 0))
        real -= trials[-1].real
        print(line(number + 1, trials[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([trial._asdict() for trial in trials], indent=2) + "\n")
    differing = [trial for trial in trials if trial.differences]
    kills = sum(len(trial.kills) for trial in trials)
    print(f"{len(trials) - len(differing)} of {len(trials)} trials, with {kills} kills, ended bit-identical")
    if not arguments.folder and not differing:
        shutil.rmtree(folder)
    raise SystemExit(1 if differing else 0)


def hold_on_disk(folder: Path) -> None:
    """Lets all runs train on a folder of images, in shards of twenty."""
    from PIL import Image

    from pmodel import build
    from pmodel.data import shards

    digits = build("data=digits", binarize="none", seed=0, label_seed=0).examples("train", 400)
    for i, (x, k) in enumerate(zip(digits.x, digits.label, strict=True)):
        file = folder / "images" / str(int(k)) / f"{i:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((x[0] * 255).byte().numpy()).save(file)
    DATA[0] = "data=image_folder"
    DATA.extend([f"data.path={folder / 'images'}", "data.shape=[1,8,8]", "data.storage=disk", "data.num_classes=10"])
    shards.SHARD_BYTES, shards.MAX_PART = 20 * 64, 8


def line(number: int, trial: Trial) -> str:
    """A row of the table."""
    how = "train.py" if trial.real else "forks" if trial.processes == 2 else "fork"
    end = "bit-identical" if not trial.differences else "DIFFERS: " + "; ".join(trial.differences[:4])
    return f"{number:4d}  {trial.kind:15s} {trial.processes}  {how:9s} {', '.join(trial.kills):50s} {end}"


if __name__ == "__main__":
    main()
