"""Numbers and settings as all tables write them."""

import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pmodel.reporting.decimals import with_error
from pmodel.runs.results import Number

K, V = TypeVar("K"), TypeVar("V")


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The values of each key, both in the order in which they come."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def is_finite(value: float | None) -> bool:
    """Whether a number has a value: NaN and infinities stand as null in a file."""
    return value is not None and math.isfinite(value)


def label_of(entry: Mapping[str, Any]) -> str:
    """The words of a number, or of one that is missing: its label, or where it has none its name with spaces."""
    return entry.get("label") or entry["name"].replace("_", " ")


def value_text(number: Number) -> str:
    """The value, with as many digits as its standard error leaves it."""
    return with_error(number["value"], _error(number))[0] if is_finite(number["value"]) else "not finite"


def error_text(number: Number) -> str:
    """The standard error in two digits, "" where there is none."""
    return with_error(number["value"], _error(number))[1] if is_finite(number["value"]) else ""


def bits_text(number: Number) -> str:
    """Bits per dimension with as many digits as their standard error leaves them, "" where there are none."""
    return value_text(in_bits(number)) if is_finite(number.get("bits_per_dim")) else ""


def in_bits(number: Number) -> Number:
    """The same number in bits per dimension, if it has them."""
    bits, error = number.get("bits_per_dim"), _error(number)
    if not is_finite(bits):
        return number
    scale = abs(bits / number["value"]) if number["value"] else 0.0
    own = {"value": bits, "unit": "bits per dimension"} | ({} if error is None else {"standard_error": scale * error})
    return {**number, **own}


def _error(number: Number) -> float | None:
    """The standard error, None where there is none: a file may say null."""
    error = number.get("standard_error")
    return error if is_finite(error) else None


def listed(words: list[str]) -> str:
    """Words as a sentence lists them: "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


# What a model without a method, of `pmodel.capabilities`, can't be asked for.
ANSWERS = {
    "assign": "clusters",
    "classify": "labels",
    "clusters": "centres of clusters",
    "complete": "completions",
    "decode": "what a code means",
    "elbo": "a lower bound on the likelihood",
    "encode": "codes",
    "gaussian_components": "Gaussian components",
    "held_out_log_prob": "bandwidths",
    "log_prob": "an exact likelihood",
    "log_prob_estimate": "an estimate of the likelihood",
    "log_prob_per_pixel": "the likelihood of each pixel",
    "principal_components": "principal components",
    "reconstruct": "reconstructions",
    "sample": "samples",
    "sample_classes": "samples of a class",
    "sample_latents": "draws from a prior of codes",
}


def in_words(reason: str) -> str:
    """Why a number or a figure is missing, to who does not know the methods of models: "can't be asked for clusters"
    for "the model has no assign"; any other reason as it is."""
    return re.sub(
        r"^the model has no (\w+)",
        lambda match: f"can't be asked for {ANSWERS[match[1]]}" if match[1] in ANSWERS else match[0],
        reason,
    )


def spread_text(values: list[float], of: str) -> str:
    """The mean of several values and the standard deviation over them, "0.530 (sd 0.014 over 5 seeds)"; of one value,
    the value alone. ± is for standard errors.

    of: what there are several of, "" to leave out how many: "0.530 (sd 0.014)"
    """
    mean, deviation = with_error(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)
    count = f" over {len(values)} {of}" if of else ""
    return f"{mean} (sd {deviation}{count})" if deviation else mean


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


def made(number: Number) -> dict[str, Any]:
    """How a number was made: its split, its count, and its protocol as flat settings."""
    return {key: number[key] for key in ("split", "count") if key in number} | flat(number.get("protocol", {}))


def label_text(run: dict[str, Any]) -> str:
    """A run's name, and how its training ended if it did not reach its end."""
    status = run.get("status")
    return run["label"] if status in (None, "done") else f"{run['label']} ({status})"
