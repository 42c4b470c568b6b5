"""Numbers and settings as all tables write them."""

import json
import math
from typing import Any

from pmodel.reporting.results import Number
from pmodel.reporting.summary import format_value

ARROWS = {"lower": "↓", "higher": "↑", None: ""}


def is_finite(value: float | None) -> bool:
    """Whether a number has a value: NaN and infinities stand as null in a file."""
    return value is not None and math.isfinite(value)


def value_text(number: Number) -> str:
    """The value."""
    return format_value(number["value"]) if is_finite(number["value"]) else "not finite"


def error_text(number: Number) -> str:
    """The standard error in two digits, "" where there is none."""
    error = number.get("standard_error")
    if not is_finite(error):
        return ""
    return f"{error:,.0f}" if error >= 10 else f"{error:.2g}"


def bits_text(number: Number) -> str:
    """Bits per dimension, "" where there are none."""
    return f"{number['bits_per_dim']:.3f}" if is_finite(number.get("bits_per_dim")) else ""


def direction(better: str | None, ideal: float | None) -> str:
    """An arrow to where numbers are better, or the value that is best, "" where nothing is."""
    return ARROWS[better] if better or ideal is None else f"{ideal:g} is ideal"


def examples_text(count: int | None, split: str) -> str:
    """How many examples of a split; samples are examples of the split "drawn"."""
    noun = "samples" if split == "drawn" else f"{split} examples"
    return noun if count is None else f"{count:,} {noun}"


def as_typed(value: Any) -> str:
    """A setting as one types it: null, true, 0.001, [1, 28, 28], words without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def rounded(value: Any) -> str:
    """A setting in a protocol: floats in four significant digits, all else as one types it."""
    return f"{value:.4g}" if isinstance(value, float) else as_typed(value)


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"a.b.c": value}; lists and empty dicts are values."""
    entries: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict) and value:
            entries |= flat(value, f"{prefix}{key}.")
        else:
            entries[f"{prefix}{key}"] = value
    return entries


def label_text(run: dict[str, Any]) -> str:
    """A run's name, and how its training ended if it did not reach its end."""
    status = run.get("status")
    return run["label"] if status in (None, "done") else f"{run['label']} ({status})"
