"""What processes that work on the same give one another."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from pmodel.files.printable import first_line
from pmodel.processes.bar import Bar
from pmodel.processes.launch import is_first

T = TypeVar("T")


def of_all_processes(value: Any) -> list[Any]:
    """The value of each process, in the order of their ranks; all of them have to ask, and each gets it.

    value: plain values and tensors on the CPU
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, value)
    return gathered


class ProcessGroup:
    """The processes that share an evaluation, one for each device: no piece of work is done twice.

    rank, count: which process this is, and of how many
    device: what it computes on
    """

    def __init__(self, device: torch.device | str = "cpu", rank: int = 0, count: int = 1):
        self.device, self.rank, self.count = torch.device(device), rank, count

    @classmethod
    def launch(cls, accelerator: str = "auto", devices: int | str | list[int] = 1) -> "ProcessGroup":
        """Starts a process for each device, by Lightning's Fabric; each comes back from here."""
        from lightning.fabric import Fabric
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        try:
            fabric = Fabric(accelerator=accelerator, devices=devices)
        except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
            place = f"trainer.accelerator={accelerator}, trainer.devices={devices}"
            raise ValueError(f"{place}: no such devices here: {first_line(error)}") from None
        fabric.launch()
        return cls(fabric.device, fabric.global_rank, fabric.world_size)

    def map(self, function: Callable[[int], T], pieces: range, what: str | None = None) -> list[T]:
        """[function(i) for i in pieces], on every process; each piece is computed by one of them.

        What a piece gives must not depend on who computes it, and lies on the CPU.

        what: they are, for a bar; None: without one

        Raises:
            ValueError: what one of them raises, on all.
        """

        def work() -> dict[int, T]:
            own, found = pieces[self.rank :: self.count], {}
            with Bar(len(own), what) as bar:
                for i in own:
                    found[i] = function(i)
                    bar.update()
            return found

        if self.count == 1:
            return list(work().values())
        everyone = of_all_processes((pieces, _attempt(work)))
        assert all(asked == pieces for asked, _ in everyone), "the processes are at different pieces of work"
        parts = [_result(*attempt) for _, attempt in everyone]
        return [parts[place % self.count][i] for place, i in enumerate(pieces)]

    def from_first(self, function: Callable[[], T]) -> T:
        """What the first process makes of it, on every process; likewise a ValueError."""
        if self.count == 1:
            return function()
        return _result(*of_all_processes(_attempt(function) if is_first() else None)[0])


def _attempt(function: Callable[[], T]) -> tuple[T | None, str | None]:
    """What a function gives, or what is wrong with the user's input: the others wait for it."""
    try:
        return function(), None
    except ValueError as error:
        return None, str(error)


def _result(value: T, error: str | None) -> T:
    if error is not None:
        raise ValueError(error)
    return value
