"""Writes docs/compare.md and its image from a comparison that eval.py has evaluated.

uv run train.py experiment=compare
uv run eval.py run=logs/multirun/…
uv run docs/compare.py logs/multirun/…
"""

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(folder: Path) -> None:
    evaluations = sorted(folder.glob("eval/*/table.md"))
    if not evaluations:
        sys.exit(f"error: {folder}: expected a multirun that eval.py has evaluated, but there is no eval/*/table.md")
    evaluation = evaluations[-1].parent
    table = evaluations[-1].read_text(encoding="utf-8")
    results = json.loads((evaluation / "results.json").read_text(encoding="utf-8"))
    versions, seed = results["versions"], results["runs"][0]["seed"]
    parts = [
        "# One model of each family",
        "This page compares one model of each family on the same data, 5,000 digits of MNIST. `uv run docs/compare.py`"
        " writes it from a multirun that `eval.py` has evaluated. The first command took 18 minutes on two"
        " CPU cores without other work; its last line is the second command.",
        "```\nuv run train.py experiment=compare\nuv run eval.py run=logs/multirun/…\n```",
        f"On {results['hardware']}, with pmodel {versions['pmodel']} and torch {versions['torch']}. One run of each,"
        f" with seed {seed}. Another seed gives other numbers, so each number is of this run, not of the whole family."
        " [metrics.md](metrics.md) says what each number means.",
        "![Samples of each model, side by side](images/compare.png)",
        table,
    ]
    (ROOT / "docs" / "compare.md").write_text("\n\n".join(parts).rstrip() + "\n", encoding="utf-8")
    shutil.copyfile(evaluation / "samples.png", ROOT / "docs" / "images" / "compare.png")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
