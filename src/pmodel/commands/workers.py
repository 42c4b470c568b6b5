"""What a worker process of a multirun needs before its first job: GPUs of its own, and the resolvers of conf/."""

import contextlib
import os
import time
from pathlib import Path

from pmodel.commands.deferred import defer_imports
from pmodel.commands.quiet import accept_any_terminal
from pmodel.config.resolvers import num_devices, register_resolvers
from pmodel.config.tree import ConfigError
from pmodel.processes.stopping import become_worker
from pmodel.runs.claim import Claim, InUse

# Kept until this process ends.
_held: list[Claim] = []


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; does not start CUDA."""
    import torch

    count = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return listed.split(",")[:count] if listed else [str(i) for i in range(count)]


def places(n_jobs: int | None, devices: int | str | list[int], gpus: list[str]) -> tuple[int, list[str], int]:
    """How many jobs run at the same time, the GPUs that they share out, and how many each has.

    Without GPUs about half of the cores, at least two where there are two: a training keeps more than one core busy,
    but seldom all of them.

    Args:
        n_jobs: what was asked for; None: as many as have GPUs, or cores, of their own.
        devices: `trainer.devices` of a job.
    """
    if not gpus:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return n_jobs or min(cores, max(2, cores // 2)), [], 0
    if isinstance(devices, str | int) and str(devices) in ("auto", "-1"):
        return n_jobs or 1, gpus, len(gpus)
    each = num_devices(devices)
    if each > len(gpus):
        raise ConfigError(f"trainer.devices={devices}: there are {len(gpus)} GPUs")
    return n_jobs or len(gpus) // each, gpus, each


def prepare(folder: str, num_workers: int, gpus: list[str], each: int) -> None:
    """Makes a new process fit for jobs; it keeps its place among the workers, and so its GPUs, for life."""
    register_resolvers()
    accept_any_terminal()
    defer_imports()
    become_worker(Path(folder))
    if gpus:
        place = claim(Path(folder), num_workers)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus_of(place, gpus, each))


def gpus_of(place: int, gpus: list[str], each: int) -> list[str]:
    """The GPUs of the worker in this place; where there are more workers than GPUs, some share them."""
    return [gpus[(place * each + i) % len(gpus)] for i in range(each)]


def claim(folder: Path, num_places: int, timeout_s: float = 60.0) -> int:
    """A place that no living process has; it is free again when this process ends, however it ends."""
    until = time.monotonic() + timeout_s
    while True:
        for place in range(num_places):
            with contextlib.suppress(InUse):
                _held.append(Claim(folder / str(place)))
                return place
        if time.monotonic() > until:
            raise RuntimeError(f"all {num_places} places in {folder} are taken: is another multirun in this directory?")
        time.sleep(0.1)
