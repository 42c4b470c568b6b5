"""With how many threads a process computes."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import nn

# Multiply-adds of a step's forward pass, by `work`, from which on more than one thread pays. Two threads of two, in
# milliseconds a step, alone and beside a busy loop on each core (Xeon): VAE on the digits, 0.04e9: 8.1 and 6.7 alone,
# 14 and 230 beside; VAE on MNIST, 0.55e9: 60 and 39, 109 and 1075; PixelCNN on MNIST, 4e9: 449 and 324, 822 and 1300;
# convolutional VAE, 14e9: 202 and 111, 380 and 1107; DCGAN, 166e9: 437 and 233, 739 and 738.
THREADS_PAY_FROM = 1e9
# PyTorch's own number, in a process that nobody has told another one yet.
usual_threads = torch.get_num_threads()


def work(model: nn.Module, shape: list[int], batch_size: float) -> float:
    """The multiply-adds of a forward pass, roughly: one for each weight and example, and for each pixel too where the
    weight is a convolution's.

    shape: of an example, [D] or [C, H, W]
    batch_size: the examples of one process
    """
    parameters = list(model.parameters())
    if not parameters:  # a streaming model keeps what it learns in buffers
        return batch_size * model.num_parameters
    pixels = math.prod(shape[1:])
    return batch_size * sum(p.numel() * (pixels if p.ndim > 2 else 1) for p in parameters)


def threads_for(model: LightningModule, data: LightningDataModule, trainer: Trainer) -> int:
    """With how many threads each process of a training computes: one where the steps are so small that more would gain
    little and, on a busy machine, wait for one another; else its share of the processors.

    The machine's load is left out of it: the number decides last digits.
    """
    count = trainer.num_devices  # of this machine
    share = max(1, len(os.sched_getaffinity(0)) // count) if count > 1 else usual_threads
    small = work(model, data.shape, data.batch_size / trainer.world_size) < THREADS_PAY_FROM
    return 1 if small and trainer.strategy.root_device.type == "cpu" else share


@contextmanager
def threads_restored() -> Iterator[None]:
    """Afterwards PyTorch computes with as many threads as before, and OMP_NUM_THREADS is what it was."""
    before, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if variable is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = variable


def compute_with(threads: int) -> None:
    """Lets PyTorch compute with so many threads; with another number sums are rounded otherwise.

    A process keeps the number that it had when PyTorch was imported, whatever its environment says later; and where the
    environment says nothing, Lightning sets both on several devices.
    """
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
