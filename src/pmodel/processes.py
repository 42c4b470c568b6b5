"""What each of several processes has, brought together."""

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
