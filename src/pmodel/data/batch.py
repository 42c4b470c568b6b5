"""What travels from the data to the model."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pmodel.data.levels import intensity

# The key of evaluation batches: their random draws, if any, were made once, when the split was loaded.
NO_KEY = -1


class RawBatch(NamedTuple):
    """What a loader yields, as it is stored.

    x: images (B, C, H, W), uint8 levels (float32 where an evaluation split is dequantized); or points (B, D), float32
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


class Levels(NamedTuple):
    """Images as they are stored.

    x: (B, C, H, W), uint8, 0 … num_levels − 1
    """

    x: Tensor
    num_levels: int


class StepBatch:
    """What a step is given: examples as in a `Batch`, and which part they are of one over all devices.

    x: as in `Batch`; a model that reads `levels` alone never has it computed
    first, total: where these B examples begin among those of all devices, and how many these are; None: B
    levels: the same examples as they are stored, if they are images to which nothing random was done
    """

    def __init__(
        self, x: Tensor | None, label: Tensor, first: int = 0, total: int | None = None, levels: Levels | None = None
    ):
        self._x, self.label, self.first, self.total, self.levels = x, label, first, total, levels

    @property
    def x(self) -> Tensor:
        if self._x is None:
            self._x = intensity(*self.levels)
        return self._x

    def __len__(self) -> int:
        return len(self.label)


def as_step_batch(batch: Any, rank: int = 0, world_size: int = 1) -> StepBatch:
    """What a step is given of a batch from any loader: examples x (B, …), alone or in a pair (x, label) with classes
    (B,), of which each device has its own B.

    Raises:
        TypeError: if the batch is something else.
    """
    if isinstance(batch, StepBatch):
        return batch
    if isinstance(batch, Batch):
        return StepBatch(*batch)
    parts = (batch,) if isinstance(batch, Tensor) else batch
    if not (isinstance(parts, tuple | list) and 1 <= len(parts) <= 2 and all(isinstance(p, Tensor) for p in parts)):
        raise TypeError(f"a batch: expected a tensor x, or a pair (x, label) of tensors, not {type(batch).__name__}")
    x = parts[0]
    label = parts[1] if len(parts) == 2 else torch.full((len(x),), -1, device=x.device)
    if not x.is_floating_point():
        raise TypeError(f"a batch: expected x of floating point, such as images in [0, 1], not {x.dtype}")
    if label.shape != (len(x),) or label.is_floating_point():
        raise TypeError(
            f"a batch: expected labels [{len(x)}] of whole numbers, not {list(label.shape)} of {label.dtype}"
        )
    return StepBatch(x, label.long(), rank * len(x), world_size * len(x))
