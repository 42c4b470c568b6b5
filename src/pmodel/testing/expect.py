"""What is said where a model does something else than is expected of it: an AssertionError of one line."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def expect(holds: bool | Tensor, place: str, expected: str, got: Any) -> None:
    """Raises an AssertionError where something does not hold: "Mine.log_prob(x): expected … , got …".

    place: the method, as it was called
    """
    if not holds:
        raise AssertionError(f"{place}: expected {expected}, got {got}")


def expect_shape(place: str, answer: Any, shape: Sequence[int]) -> None:
    """Raises one where an answer is no tensor of that shape."""
    expect(isinstance(answer, Tensor), place, f"a tensor of shape {tuple(shape)}", type(answer).__name__)
    expect(answer.shape == tuple(shape), place, f"shape {tuple(shape)}", tuple(answer.shape))


def expect_finite(place: str, answer: Tensor) -> None:
    """Raises one where an answer has infinities or NaN."""
    expect(answer.isfinite().all(), place, "finite numbers", f"{(~answer.isfinite()).sum()} that are not")


def largest_difference(a: Tensor, b: Tensor) -> str:
    """Between two tensors of one shape, in words."""
    if a.shape != b.shape:
        return f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
    return f"a difference of {(a.double() - b.double()).abs().max().item():.3g}"
