"""Means over an epoch of named per-example numbers, at the price of one addition per step."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class EpochMeans:
    """Sums of named terms and the count of examples; exact over devices, and part of a checkpoint.

    `LightningModule.log(on_epoch=True)` does the same at a price per term and step that a small network feels.
    """

    def __init__(self) -> None:
        self.reset()

    def update(self, terms: dict[str, Tensor]) -> None:
        """Adds a batch: each term is (B,)."""
        values = torch.stack(list(terms.values())).detach()
        # Apple's GPUs have no float64.
        step = values.sum(1, dtype=torch.float32 if values.device.type == "mps" else torch.float64)
        self.count += values.shape[1]
        self.names = list(terms)
        # A checkpoint brings sums to the CPU.
        self.sums = step if self.sums is None else self.sums.to(step.device) + step

    def compute(self, reduce: Callable[[Tensor], Tensor] | None = None) -> tuple[dict[str, float], int]:
        """The mean of each term over all examples since the last reset, and how many these were.

        `reduce` sums a tensor over the devices.
        """
        if self.sums is None:
            return {}, 0
        everything = torch.cat([self.sums, self.sums.new_tensor([self.count])])
        *totals, count = (reduce(everything) if reduce is not None else everything).tolist()
        return {name: total / count for name, total in zip(self.names, totals, strict=True)}, int(count)

    def reset(self) -> None:
        self.names: list[str] = []
        self.sums: Tensor | None = None
        self.count = 0

    def state_dict(self) -> dict:
        """The names, sums and count of this device."""
        return {"names": self.names, "sums": None if self.sums is None else self.sums.cpu(), "count": self.count}

    def load_state_dict(self, state: dict) -> None:
        """Goes on with a state."""
        self.names, self.sums, self.count = state["names"], state["sums"], state["count"]


def merged(states: list[dict[str, Any]], count: int = 1) -> dict[str, Any]:
    """The state over all devices, of each one's: numbers and tensors are added up, and taken `count` times, 0 or 1."""
    first = states[0]
    added = {name for name, value in first.items() if isinstance(value, int | Tensor)}
    return {**first, **{name: count * sum(state[name] for state in states) for name in added}}
