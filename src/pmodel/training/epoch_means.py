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

    def state_dict(self, reduce: Callable[[Tensor], Tensor] | None = None) -> dict:
        """The names, sums and count, of all devices if `reduce` sums a tensor over them."""
        if self.sums is None or reduce is None:
            return {"names": self.names, "sums": self.sums, "count": self.count}
        *sums, count = reduce(torch.cat([self.sums, self.sums.new_tensor([self.count])]))
        return {"names": self.names, "sums": torch.stack(sums), "count": int(count)}

    def load_state_dict(self, state: dict, empty: bool = False) -> None:
        """Goes on with a state; `empty`: with its names alone, for a device whose sums another one has."""
        self.names, self.sums, self.count = state["names"], state["sums"], state["count"]
        if empty and self.sums is not None:
            self.sums, self.count = torch.zeros_like(self.sums), 0
