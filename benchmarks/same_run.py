"""What differs between the directories of two runs that should have done the same."""

import csv
import json
from pathlib import Path
from typing import Any


def compare(expected: Path, found: Path) -> list[str]:
    """What differs between two run directories, all but the times."""
    import torch

    differences = []
    for name in ("last.ckpt", "best.ckpt"):
        a, b = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (expected, found))
        differences += unequal(a, b, name, str(expected), str(found))
    names = [sorted(file.name for file in (folder / "checkpoints").iterdir()) for folder in (expected, found)]
    if names[0] != names[1]:
        differences.append(f"checkpoints: {names[0]}, {names[1]}")
    differences += unequal(*(read_results(folder) for folder in (expected, found)), "results.json")
    differences += unequal(*(read_metrics(folder) for folder in (expected, found)), "metrics.csv")
    images = [
        sorted(file.relative_to(f / "figures") for file in (f / "figures").rglob("*.png")) for f in (expected, found)
    ]
    if images[0] != images[1]:
        differences.append(f"figures: {images[0]}, {images[1]}")
    for image in set(images[0]) & set(images[1]):
        if (expected / "figures" / image).read_bytes() != (found / "figures" / image).read_bytes():
            differences.append(f"figures/{image}")
    return differences


# Of times, and of the place in which a run is.
IGNORED = ("seconds", "timing/seconds", "examples_per_second", "seconds_to_best", "started", "updated", "date", "time")


def unequal(a: Any, b: Any, name: str, folder_a: str = "", folder_b: str = "") -> list[str]:
    """Where two nested values differ in any bit."""
    import torch

    if isinstance(a, dict) and isinstance(b, dict):
        b = {key.replace(folder_b, folder_a) if folder_b and isinstance(key, str) else key: b[key] for key in b}
        if set(a) != set(b):
            return [f"{name}: keys {set(a) ^ set(b)}"]
        found = [unequal(a[k], b[k], f"{name}.{k}", folder_a, folder_b) for k in a if k not in IGNORED]
        return [line for lines in found for line in lines]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        found = [unequal(x, y, f"{name}[{i}]", folder_a, folder_b) for i, (x, y) in enumerate(zip(a, b, strict=True))]
        return [line for lines in found for line in lines]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.nan_to_num(1.5), b.nan_to_num(1.5))
        return [] if same and torch.equal(a.isnan(), b.isnan()) else [name]
    if isinstance(a, str) and isinstance(b, str):
        b = b.replace(folder_b, folder_a) if folder_b else b
    return [] if a == b or (a != a and b != b) else [f"{name}: {str(a)[:80]}, {str(b)[:80]}"]


def read_results(folder: Path) -> dict[str, Any]:
    """The numbers of results.json that no clock gave."""
    numbers = json.loads((folder / "results.json").read_text())["numbers"]
    return {f"{n['name']} {n.get('split')}": n for n in numbers if n.get("unit") not in ("seconds", "examples/s")}


def read_metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {name: value for name, value in row.items() if not name.startswith("timing/")}
            for row in csv.DictReader(file)
        ]
