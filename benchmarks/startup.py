"""From the command to the first training step, against `import lightning` alone; and the time to refuse a typo.

uv run benchmarks/startup.py
"""

import argparse
import subprocess
import sys
import tempfile
import time
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


def until_first_step() -> float:
    """Seconds until the line that the run prints right before its first step."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*COMMAND, f"paths.log_dir={folder}", "trainer.max_epochs=1", "callbacks=minimal"],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
        process.communicate()
        assert process.returncode == 0, line
        assert "parameters" in line, line
    return seconds


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
    rounds = 1 if arguments.quick else 5
    pairs = [(until_first_step(), import_lightning()) for _ in range(rounds)]
    refusals = [refuse([typo]) for typo in TYPOS]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "experiment").mkdir()
        for i, typo in enumerate(TYPOS_IN_FILES):
            (Path(folder) / "experiment" / f"typo_{i}.yaml").write_text(f"# @package _global_\n{typo}\n")
            refusals.append(refuse(["--config-dir", folder, f"experiment=typo_{i}"]))
    return [
        row("first step: import lightning", [a for a, _ in pairs], [b for _, b in pairs]),
        row("typo refused: the limit of 2 s", refusals, [2.0] * len(refusals)),
    ]


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0])
