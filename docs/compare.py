"""Writes docs/compare.md, its image, and the README's short form of it, from a comparison that eval.py has evaluated.

uv run train.py experiment=compare
uv run eval.py run=logs/multirun/…
uv run docs/compare.py logs/multirun/…
"""

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
START, END = "<!-- compare -->", "<!-- /compare -->"
# The rows that the README shows, by how they begin.
SHORT = (
    "negative log-likelihood",
    "negative importance-weighted bound",
    "Fréchet distance",
    "precision",
    "recall",
    "reconstruction error",
    "clustering accuracy",
    "linear probe accuracy",
    "training time",
)


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
        "This page compares one model of each family on the same data. `uv run docs/compare.py` writes it from a"
        " multirun that `eval.py` has evaluated.",
        "```\nuv run train.py experiment=compare\nuv run eval.py run=logs/multirun/…\n```",
        f"On {results['hardware']}, with pmodel {versions['pmodel']} and torch {versions['torch']}. One run of each,"
        f" with seed {seed}. Another seed gives other numbers, so each number is of this run, not of the whole family."
        " [metrics.md](metrics.md) says what each number means.",
        "![Samples of each model, side by side](images/compare.png)",
        table,
    ]
    (ROOT / "docs" / "compare.md").write_text("\n\n".join(parts).rstrip() + "\n", encoding="utf-8")
    shutil.copyfile(evaluation / "samples.png", ROOT / "docs" / "images" / "compare.png")
    readme = ROOT / "README.md"
    readme.write_text(with_short_form(readme.read_text(encoding="utf-8"), short_form(table)), encoding="utf-8")


def short_form(table: str) -> str:
    """The rows of a Markdown table that `SHORT` names, without footnotes and bits."""
    rows = [line for line in table.splitlines() if line.startswith("|")]
    chosen = [line for line in rows[2:] if line.startswith(tuple(f"| {name}" for name in SHORT))]
    return "\n".join(re.sub(r"<sup>\d+</sup>| \([\d.]+ bits/dim\)", "", line) for line in [*rows[:2], *chosen])


def with_short_form(readme: str, short: str) -> str:
    """The README with what is between its two marks replaced."""
    before, rest = readme.split(START, 1)
    return f"{before}{START}\n{short}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
