"""A number and how it was made."""

import json
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from pmodel.files.atomic import write_atomically
from pmodel.files.run_files import SCHEMA

# The parts of a table of numbers, in its order.
Group = Literal["likelihood", "samples", "memorization", "reconstruction", "clusters", "codes", "cost"]


class Number(TypedDict):
    """One measured number; `split` and `count` say on which examples.

    `name` is an identifier, `label` its words where they are not the name's own.

    `bits_per_dim` is the same number in that unit. `better` says which of two values is, where one is, and `ideal`
    what is best where it lies between; `least` is what the true value is at least, of an unbiased estimate that can be
    below it; `kind` of a likelihood whether it is exact, a bound or an estimate; `group` where it stands in a table;
    `skill` what a model is good at that has a good value, of a main number; `remark` in half a line what it is beside
    the main number of its table. A number with `caveats` is no quality of its model, for reasons of half a line each:
    it is never marked as the best.
    """

    name: str
    label: NotRequired[str]
    value: float
    unit: str
    split: NotRequired[str]
    count: NotRequired[int]
    standard_error: NotRequired[float]
    bits_per_dim: NotRequired[float]
    protocol: NotRequired[dict[str, Any]]
    better: NotRequired[Literal["lower", "higher"]]
    ideal: NotRequired[float]
    least: NotRequired[float]
    kind: NotRequired[Literal["exact", "bound", "estimate"]]
    group: NotRequired[Group]
    skill: NotRequired[str]
    remark: NotRequired[str]
    caveats: NotRequired[list[str]]


class Missing(NamedTuple):
    """A number that there isn't, and why."""

    name: str
    label: str
    group: Group
    reason: str


class Curve(NamedTuple):
    """A number over a setting: `y` at `x`, both of the same length, with the standard errors of `y`."""

    name: str
    label: str
    group: Group
    x: list[float]
    y: list[float]
    error: list[float]
    x_label: str
    y_label: str
    log_x: bool = False


def write_results(path: Path, numbers: list[Number], context: dict[str, Any]) -> None:
    """Writes results.json: the schema's version, what all numbers share, and the numbers."""
    write_json(path, {"schema": SCHEMA, **context, "numbers": numbers})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file in one step: a reader sees the old file or the new one, never a part."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def _finite(node: Any) -> Any:
    """NaN and infinities, which JSON has no words for, as null."""
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
