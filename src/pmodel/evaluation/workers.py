"""The processes that share an evaluation."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import distributed

T = TypeVar("T")


class Workers:
    """One process, or as many as there are devices: pieces of work are shared out, and no piece is done twice.

    rank, count: which process this is, and of how many
    device: what it computes on
    """

    def __init__(self, device: torch.device | str = "cpu", rank: int = 0, count: int = 1):
        self.device, self.rank, self.count = torch.device(device), rank, count

    @classmethod
    def launch(cls, accelerator: str = "auto", devices: int | str | list[int] = 1) -> "Workers":
        """Starts a process for each device, by Lightning's Fabric; each comes back from here."""
        from lightning.fabric import Fabric

        fabric = Fabric(accelerator=accelerator, devices=devices)
        fabric.launch()
        return cls(fabric.device, fabric.global_rank, fabric.world_size)

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def map(self, function: Callable[[int], T], pieces: range) -> list[T]:
        """[function(i) for i in pieces], on every process; each piece is computed by one of them.

        What a piece gives must not depend on who computes it, and lies on the CPU.
        """
        own = {i: function(i) for i in pieces[self.rank :: self.count]}
        if self.count == 1:
            return list(own.values())
        everyone: list[dict[int, T] | None] = [None] * self.count
        distributed.all_gather_object(everyone, own)
        return [everyone[place % self.count][i] for place, i in enumerate(pieces)]

    def from_first(self, function: Callable[[], T]) -> T:
        """What the first process makes of it, on every process."""
        if self.count == 1:
            return function()
        made: list[Any] = [function() if self.is_first else None]
        distributed.broadcast_object_list(made, src=0)
        return made[0]
