"""What each of several processes has, brought together; and how many threads each computes with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def of_all_processes(value: Any) -> list[Any]:
    """The value of each process, in the order of their ranks; all of them have to ask, and each gets it.

    value: plain values and tensors on the CPU
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, value)
    return gathered


@contextmanager
def computing_with(own: int | None, usual: int | None, is_first: bool = True) -> Iterator[int]:
    """Lets PyTorch compute with so many threads, since with another number sums are rounded otherwise; gives it.

    A process keeps the number that it had when PyTorch was imported, whatever its environment says later. Where the
    environment says nothing, Lightning sets both on several devices.

    own: the number with which the run began, which is kept and, where it is not the usual one, said; None: it begins
    usual: that of a run that begins here and now; None: PyTorch's own
    is_first: whether this process is the one that prints
    """
    before = torch.get_num_threads()
    usual = usual or before
    if own not in (None, usual) and is_first:
        print(f"threads: {own}, as when the run began (a new run would take {usual} here)", flush=True)
    variable = os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(own or usual)
    os.environ["OMP_NUM_THREADS"] = str(own or usual)
    try:
        yield own or usual
    finally:
        torch.set_num_threads(before)
        if variable is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = variable
