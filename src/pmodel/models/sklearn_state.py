"""What was fitted, as a checkpoint holds it: tensors, and plain values that refer to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pmodel.files.printable import first_line


@contextmanager
def in_one_line(place: str) -> Iterator[None]:
    """A context in which what scikit-learn, or a state of something else, fails with is a ValueError of one line."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{place}: {first_line(error)}") from None


def points(x: Tensor) -> np.ndarray:
    """Examples (B, …) as scikit-learn takes them, (B, D), float64."""
    return x.detach().flatten(1).double().cpu().numpy()


def is_plain(value: Any) -> bool:
    """Whether a setting is a number, a text, true, false, null or a list of these."""
    return all(map(is_plain, value)) if isinstance(value, list) else isinstance(value, bool | int | float | str | None)


def packed(attributes: dict[str, Any]) -> tuple[dict[str, Any], list[Tensor]]:
    """Attributes as values that JSON has, in which the numbers of arrays stand in their place, and these arrays.

    Raises:
        TypeError: with the name of an attribute that holds more than arrays, numbers, texts, lists and dicts.
    """
    arrays: list[Tensor] = []
    return {name: _packed(value, arrays, name) for name, value in attributes.items()}, arrays


def _packed(value: Any, arrays: list[Tensor], name: str) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        # With the order in memory, by which products are rounded.
        arrays.append(torch.from_numpy(np.array(value, order="K")))
        return {"array" if isinstance(value, np.ndarray) else "scalar": len(arrays) - 1}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_packed(part, arrays, name) for part in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _packed(part, arrays, name) for key, part in value.items()}}
    what = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise TypeError(f"its fitted {name} holds {what}")


def unpacked(content: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """The attributes that `packed` was given."""
    return {name: _unpacked(value, arrays) for name, value in content.items()}


def _unpacked(content: Any, arrays: list[np.ndarray]) -> Any:
    if not isinstance(content, dict):
        return content
    ((kind, inner),) = content.items()
    if kind in ("array", "scalar"):
        return arrays[inner] if kind == "array" else arrays[inner][()]
    if kind == "dict":
        return unpacked(inner, arrays)
    return {"list": list, "tuple": tuple}[kind](_unpacked(part, arrays) for part in inner)
