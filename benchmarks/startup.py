"""From the command to the first line and step, the time to refuse a typo, and the default training on a busy machine.

The first step is aimed at within 0.8 times `import lightning`, the first line within a second, and the training within
1.3 times the better of one thread and all.

uv run benchmarks/startup.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import main, row

ROOT = Path(__file__).parents[1]
COMMAND = ["uv", "run", "--project", str(ROOT), str(ROOT / "train.py")]
TYPOS = [
    "model.latnt_dim=3",
    "modle=vae",
    "model=vea",
    "trainer.max_epoch=3",
    "data.binarize=statik",
]
# Lines for an experiment file.
TYPOS_IN_FILES = [
    "model: {latnt_dim: 3}",
    "modle: {latent_dim: 3}",
    "trainer: {max_epoch: 3}",
    "data: {binarise: static}",
    "callbacks: {bond: {num_images: 9}}",
]


def until_first_lines() -> tuple[float, float]:
    """Seconds until the first line of all, and until the one that the run prints right before its first step."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*COMMAND, f"paths.log_dir={folder}", "trainer.max_epochs=1", "callbacks=minimal"],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines, seconds = [], []
        for _ in range(2):
            lines.append(process.stdout.readline())
            seconds.append(time.perf_counter() - start)
        process.communicate()
        assert process.returncode == 0, lines
        assert "loading …" in lines[0], lines
        assert "parameters" in lines[1], lines
    return seconds[0], seconds[1]


def training(threads: str, epochs: int) -> float:
    """Seconds that the steps of the default training take, as its results say."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        typed = [f"threads={threads}", f"hydra.run.dir={run}", f"trainer.max_epochs={epochs}", "callbacks.figures=null"]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        subprocess.run([*COMMAND, *typed], check=True, stdout=subprocess.DEVNULL, env=environment)
        numbers = json.loads((run / "results.json").read_text(encoding="utf-8"))["numbers"]
    return next(number["value"] for number in numbers if number["name"] == "training_time")


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes compute in vain meanwhile."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def import_lightning() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", "import lightning"], check=True)
    return time.perf_counter() - start


def refuse(arguments: list[str]) -> float:
    """Seconds until a wrong config is refused, with one line and exit code 2."""
    start = time.perf_counter()
    result = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    assert result.returncode == 2, result
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: "), result.stderr
    print(f"{seconds:.2f} s  {result.stderr.strip()}")
    return seconds


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rounds, epochs = (1, 2) if arguments.quick else (5, 4)
    starts = [(*until_first_lines(), import_lightning()) for _ in range(rounds)]
    cores = len(os.sched_getaffinity(0))
    trainings: dict[int, list[tuple[float, ...]]] = {}
    for loops in (0, cores):
        with busy(loops):
            choices = ("auto", "1", str(cores))
            trainings[loops] = [tuple(training(n, epochs) for n in choices) for _ in range(rounds)]
    refusals = [refuse([typo]) for typo in TYPOS]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "experiment").mkdir()
        for i, typo in enumerate(TYPOS_IN_FILES):
            (Path(folder) / "experiment" / f"typo_{i}.yaml").write_text(f"# @package _global_\n{typo}\n")
            refusals.append(refuse(["--config-dir", folder, f"experiment=typo_{i}"]))
    rows = [
        row("first step: import lightning", [step for _, step, _ in starts], [rival for _, _, rival in starts]),
        row("first line: the limit of 1 s", [line for line, _, _ in starts], [1.0] * rounds),
        row("typo refused: the limit of 2 s", refusals, [2.0] * len(refusals)),
    ]
    for loops, found in trainings.items():
        where = f"beside {loops} busy loops" if loops else "alone"
        ours, better = [auto for auto, _, _ in found], [min(one, more) for _, one, more in found]
        rows.append(row(f"4 epochs of the default {where}: the better of 1 and {cores} threads", ours, better))
        for name, place in (("1 thread", 1), (f"{cores} threads", 2)):
            rows.append(row(f"4 epochs of the default {where}: {name}", ours, [times[place] for times in found]))
    return rows


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0])
