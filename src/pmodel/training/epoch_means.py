"""Means over an epoch of named per-example numbers, at the price of one addition per step."""

from collections.abc import Callable

import torch
from torch import Tensor


class EpochMeans:
    """Sums of named terms and the count of examples; exact over devices, and part of a checkpoint.

    `LightningModule.log(on_epoch=True)` does the same at a price per term and step that a small network feels.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums: Tensor | None = None

    def update(self, terms: dict[str, Tensor]) -> None:
        """Adds a batch: each term is (B,)."""
        names = [*terms, "count"]
        first = next(iter(terms.values()))
        # Apple's GPUs have no float64.
        dtype = torch.float32 if first.device.type == "mps" else torch.float64
        step = torch.stack([t.detach().sum(dtype=dtype) for t in terms.values()])
        count = first.shape[0]
        step = torch.cat([step, step.new_full((1,), count)])
        if names != self.names:
            self.names, self.sums = names, step
        else:
            self.sums += step

    def compute(self, reduce: Callable[[Tensor], Tensor] | None = None) -> tuple[dict[str, float], int]:
        """The mean of each term over all examples since the last reset, and how many these were.

        `reduce` sums a tensor over the devices.
        """
        if self.sums is None:
            return {}, 0
        sums = reduce(self.sums) if reduce is not None else self.sums
        *totals, count = sums.tolist()
        return {name: total / count for name, total in zip(self.names[:-1], totals, strict=True)}, int(count)

    def reset(self) -> None:
        self.names, self.sums = [], None

    def state_dict(self) -> dict:
        return {"names": self.names, "sums": self.sums}

    def load_state_dict(self, state: dict) -> None:
        self.names, self.sums = state["names"], state["sums"]
