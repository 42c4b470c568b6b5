"""What travels from the data to the model."""

from typing import NamedTuple

from torch import Tensor

# The key of evaluation batches: their random draws, if any, were made once, when the split was loaded.
NO_KEY = -1


class RawBatch(NamedTuple):
    """What a loader yields, as it is stored.

    x: pictures (B, C, H, W), uint8 levels (float32 where an evaluation split is dequantized); or points (B, D), float32
    label: classes (B,), int64, -1 where there is none
    key: seed in [0, 2**63) of this batch's random draws, the same on all devices, or NO_KEY
    first, total: where these B examples begin among those of all devices, and how many these are; None: B
    """

    x: Tensor
    label: Tensor
    key: int
    first: int = 0
    total: int | None = None


class Batch(NamedTuple):
    """Examples as a model sees them.

    x: images (B, C, H, W), float32 in [0, 1] on `num_levels` equally spaced levels k / (num_levels - 1), or
        continuous in [0, 1) where dequantized; or points (B, D), float32
    label: classes (B,), int64, -1 where there is none
    """

    x: Tensor
    label: Tensor


class StepBatch(NamedTuple):
    """What a step is given: a `Batch`, and which part it is of one over all devices.

    first, total: where these B examples begin among those of all devices, and how many these are; None: B
    """

    x: Tensor
    label: Tensor
    first: int = 0
    total: int | None = None
