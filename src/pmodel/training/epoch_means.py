"""Means over an epoch of named per-example numbers, at the price of one addition per step."""

from collections.abc import Callable

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
        if self.sums is None:
            self.names, self.sums = list(terms), step
        else:
            self.sums += step

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

    def to(self, device: torch.device) -> None:
        """Moves the sums, which a checkpoint brings to the CPU."""
        self.sums = None if self.sums is None else self.sums.to(device)

    def state_dict(self) -> dict:
        """The names, sums and count of this device."""
        return {"names": self.names, "sums": None if self.sums is None else self.sums.cpu(), "count": self.count}

    def load_state_dict(self, state: dict) -> None:
        """Goes on with a state."""
        self.names, self.sums, self.count = state["names"], state["sums"], state["count"]


def merged(states: list[dict]) -> dict:
    """The state of `EpochMeans` over all devices, of each one's."""
    if states[0]["sums"] is None:
        return states[0]
    return {**states[0], "sums": sum(s["sums"] for s in states), "count": sum(s["count"] for s in states)}


def without_sums(state: dict) -> dict:
    """A state of the same names, of no examples."""
    return state if state["sums"] is None else {**state, "sums": torch.zeros_like(state["sums"]), "count": 0}
