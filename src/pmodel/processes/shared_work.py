"""The processes that share an evaluation."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import distributed

from pmodel.processes.bar import Bar
from pmodel.processes.launch import is_first

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
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        try:
            fabric = Fabric(accelerator=accelerator, devices=devices)
        except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"trainer.accelerator={accelerator}, trainer.devices={devices}: no such devices here: {reason}"
            ) from None
        fabric.launch()
        return cls(fabric.device, fabric.global_rank, fabric.world_size)

    def map(self, function: Callable[[int], T], pieces: range, what: str | None = None) -> list[T]:
        """[function(i) for i in pieces], on every process; each piece is computed by one of them.

        What a piece gives must not depend on who computes it, and lies on the CPU.

        what: they are, for a bar; None: without one

        Raises:
            ValueError: what one of them raises, on all.
        """
        own_pieces = pieces[self.rank :: self.count]

        def work() -> dict[int, T]:
            found = {}
            with Bar(len(own_pieces), what) if what else nullcontext() as bar:
                for i in own_pieces:
                    found[i] = function(i)
                    if bar is not None:
                        bar.update()
            return found

        if self.count == 1:
            return list(work().values())
        own = self._attempt(work)
        everyone: list[Any] = [None] * self.count
        distributed.all_gather_object(everyone, (pieces, own))
        assert all(asked == pieces for asked, _ in everyone), "the processes are at different pieces of work"
        parts = [self._result(attempt) for _, attempt in everyone]
        return [parts[place % self.count][i] for place, i in enumerate(pieces)]

    def from_first(self, function: Callable[[], T]) -> T:
        """What the first process makes of it, on every process; likewise a ValueError."""
        if self.count == 1:
            return function()
        made: list[Any] = [self._attempt(function) if is_first() else None]
        distributed.broadcast_object_list(made, src=0)
        return self._result(made[0])

    def _attempt(self, function: Callable[[], T]) -> tuple[T | None, str | None]:
        """What a function gives, or what is wrong with the user's input: the others wait for it."""
        try:
            return function(), None
        except ValueError as error:
            return None, str(error)

    def _result(self, attempt: tuple[Any, str | None]) -> Any:
        value, error = attempt
        if error is not None:
            raise ValueError(error)
        return value
