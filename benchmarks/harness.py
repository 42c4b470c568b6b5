"""What all benchmarks share: rounds in turn, medians with their spread, a table, and rows of JSON."""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any


def in_turn(ours: Callable[[], float], rival: Callable[[], float], rounds: int) -> tuple[list[float], list[float]]:
    """Measures A B A B …, so that a machine whose speed drifts is as unkind to one as to the other."""
    pairs = [(ours(), rival()) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def row(name: str, ours: list[float], rival: list[float], unit: str = "s", device: str = "cpu") -> dict[str, Any]:
    """One line of the table: medians of both, and the median and range of rival/ours, pair by pair."""
    ratios = sorted(b / a for a, b in zip(ours, rival, strict=True))
    return {
        "name": name,
        "ratio": statistics.median(ratios),
        "ours": statistics.median(ours),
        "rival": statistics.median(rival),
        "unit": unit,
        "runs": len(ours),
        "spread": [ratios[0], ratios[-1]],
        "hardware": hardware(device),
        "versions": {name: version(name) for name in ("pmodel", "torch", "lightning", "hydra-core")},
    }


def hardware(device: str = "cpu") -> str:
    """The GPU's name, or the processor's kind and the cores that this process may use."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()}, {cores} cores"


def write_rows(file: Path | None, rows: list[dict[str, Any]]) -> None:
    """Writes the rows that there are, whole or not at all: who is killed later leaves them."""
    if file:
        part = file.with_suffix(".part")
        part.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        part.replace(file)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows in a file; none where there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def main(measure: Callable[[argparse.Namespace], Iterable[dict[str, Any]]], description: str, **options: str) -> None:
    """Parses `--quick`, `--json FILE` and further string options, measures, and prints a table; the file has each row
    as soon as it is measured."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: does it run at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    for name, default in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=default)
    arguments = parser.parse_args()
    rows = []
    for measured in measure(arguments):
        rows.append(measured)
        write_rows(arguments.json, rows)
    width = max(len(r["name"]) for r in rows)
    print(f"{'':{width}}  {'ours':>9}  {'rival':>9}  unit  rival/ours  (range over runs)")
    for r in rows:
        low, high = r["spread"]
        print(
            f"{r['name']:{width}}  {r['ours']:9.3f}  {r['rival']:9.3f}  {r['unit']:4}"
            f"  {r['ratio']:10.2f}  ({low:.2f} … {high:.2f}, {r['runs']} runs)"
        )
    print(f"{rows[0]['hardware']}; {', '.join(f'{k} {v}' for k, v in rows[0]['versions'].items())}")
