"""Which of several processes this one is, and starting those that share a training on this machine.

Light to import: the other processes are started before anything heavy is loaded, and load it at the same time.
"""

import _thread
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pmodel.files.foreign import read_json
from pmodel.processes.ending import STOPPED, end_by_force
from pmodel.processes.signals import obey, obey_again

# What a process needs to find the others, and what Lightning leaves behind.
VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Tells another process which one started it.
PARENT = "PMODEL_PARENT"
# A signal that nobody else uses, by which one thread makes another one raise an error.
INTERRUPTION = signal.SIGURG
# Strategies that start their processes themselves, as copies of this one.
SELF_STARTING = ("spawn", "fork", "notebook")


class Launch(NamedTuple):
    """Who started this process, which of how many it is, and on how many machines they run."""

    by: Literal["user", "pmodel", "torchrun", "slurm"] = "user"
    rank: int = 0
    count: int = 1
    nodes: int = 1


def launched() -> Launch:
    """How this process was started, as its environment says."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        return Launch("torchrun", int(env["RANK"]), int(env["WORLD_SIZE"]), int(env.get("GROUP_WORLD_SIZE", 1)))
    # In a batch script Slurm sets these too, but there is one process only; `srun` starts a step.
    interactive = env.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_STEP_ID" in env and int(env.get("SLURM_NTASKS", 1)) > 1 and not interactive:
        return Launch(
            "slurm", int(env["SLURM_PROCID"]), int(env["SLURM_NTASKS"]), int(env.get("SLURM_STEP_NUM_NODES", 1))
        )
    if "LOCAL_RANK" in env:
        return Launch("pmodel", int(env["LOCAL_RANK"]), int(env.get("WORLD_SIZE", 1)))
    return Launch()


def is_first() -> bool:
    """Whether this process writes and prints: of those that share a training, or an evaluation, the first one alone."""
    group = _process_group()
    return (launched().rank if group is None else group.get_rank()) == 0


def first_only(function: Callable[..., None]) -> Callable[..., None]:
    """A function that does nothing in any other process than the first."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        if is_first():
            function(*args, **kwargs)

    return call


def _process_group() -> Any:
    """torch.distributed, where this process and others have found one another; does not import it."""
    torch = sys.modules.get("torch")
    found = torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed if found else None


def num_processes(trainer: dict[str, Any]) -> int:
    """How many processes of this machine the trainer's settings ask for; 1 for what Lightning is to refuse."""
    devices, strategy = trainer["devices"], trainer["strategy"]
    if isinstance(strategy, str) and any(word in strategy for word in SELF_STARTING):
        return 1
    if str(devices) in ("auto", "-1"):
        import torch

        return max(1, torch.cuda.device_count()) if trainer["accelerator"] in ("auto", "gpu", "cuda") else 1
    return counted(devices) or 1


def counted(devices: int | str | list[int]) -> int | None:
    """How many devices a setting of Lightning's names; None where it names no number, such as `auto`."""
    if isinstance(devices, str) and "," in devices:
        devices = [int(part) for part in devices.split(",") if part.strip().isdigit()]
    if not isinstance(devices, str | int):
        return len(devices) or None
    return int(devices) if str(devices).isdigit() and int(devices) > 0 else None


def threads_asked_for(setting: int | Literal["auto"]) -> int | None:
    """With how many threads the user wants a process to compute, by the setting `threads` or by OMP_NUM_THREADS; None
    if nobody says."""
    if setting != "auto":
        return setting
    typed = os.environ.get("OMP_NUM_THREADS", "")
    return int(typed) if typed.isdigit() and int(typed) > 0 else None


@dataclass
class Processes:
    """The processes that share a training on this machine, this one and `count` − 1 others; a context.

    Inside it this process and the others know one another by their environment, as Lightning reads it. Where one of the
    others dies, the rest are ended: this process by the error that its next exchange with them raises or, where that
    takes longer than `grace` seconds, by force. Afterwards the environment is what it was, so that the next job of a
    multirun starts afresh.

    command: what starts one of the others
    status_file: where process i leaves what it failed of
    on_death: called with a line before this process is ended by force
    threads: how many threads each of the others computes with; None: it finds out itself
    """

    count: int
    command: list[str]
    status_file: Callable[[int], Path]
    on_death: Callable[[str], None]
    threads: int | None = None
    grace: float = 20.0
    SECONDS_BETWEEN_LOOKS: ClassVar[float] = 0.2

    def __post_init__(self) -> None:
        self.others: list[subprocess.Popen] = []
        self._before: dict[str, str | None] = {}
        self._handlers: dict[int, Any] = {}
        self._left = threading.Event()
        self._death: str | None = None

    def __enter__(self) -> "Processes":
        if self.count == 1:
            return self
        self._before = {name: os.environ.get(name) for name in VARIABLES}
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
        os.environ.update(address | {"WORLD_SIZE": str(self.count), "LOCAL_RANK": "0"})
        # Not in this process's own environment: a later job in it may be another number of processes.
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        for rank in range(1, self.count):
            self.status_file(rank).unlink(missing_ok=True)
            own = {"LOCAL_RANK": str(rank), PARENT: str(os.getpid())}
            self.others.append(self._start(os.environ | own | threads))
        self._handlers = obey({INTERRUPTION: self._raise_death})
        threading.Thread(target=self._watch, daemon=True, name="processes").start()
        return self

    def _start(self, environment: dict[str, str]) -> subprocess.Popen:
        return subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if self.count == 1:
            return
        self.ends()
        obey_again(self._handlers)
        # After a failure there is nothing to wait for; otherwise the others end with this one.
        self._end_others(patience=10.0 if self._death is None and not isinstance(error, Exception) else 0.0)
        _leave_process_group()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def ends(self) -> None:
        """To be called where this process begins to end: how the others end is no news from then on."""
        self._left.set()

    def _raise_death(self, number: int, frame: Any) -> None:
        if not self._left.is_set():
            raise RuntimeError(self._death)

    def death(self, patience: float = 3.0) -> str | None:
        """A line about the process that died first, if one has; its end may come to light a little after its effect."""
        until = time.monotonic() + (patience if self.count > 1 else 0)
        while self._death is None and time.monotonic() < until:
            time.sleep(0.05)
        return self._death

    def _watch(self) -> None:
        stopped_at: dict[int, float] = {}
        while self._death is None:
            if self._left.wait(self.SECONDS_BETWEEN_LOOKS):
                return
            for rank, process in enumerate(self.others, 1):
                code = process.poll()
                if code in STOPPED and time.monotonic() - stopped_at.setdefault(rank, time.monotonic()) < self.grace:
                    continue  # no death: this one is about to be stopped too
                if code:
                    self._death = self._describe(rank, code)
                    break
        # An exchange with the dead one mostly fails by itself. Where this process is at work alone, it is interrupted;
        # where it waits within an exchange, no Python runs, and only force helps.
        if not self._left.wait(min(3.0, self.grace)):
            _thread.interrupt_main(INTERRUPTION)
        if not self._left.wait(self.grace):
            self.on_death(self._death)
            self._end_others(patience=0.0)
            end_by_force()

    def _describe(self, rank: int, code: int) -> str:
        process = f"process {rank + 1} of {self.count} (rank {rank})"
        with suppress(ValueError):
            reason = (read_json(self.status_file(rank), "") or {}).get("reason")
            if reason:
                return f"{process}: {reason}"
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
        return f"{process} {how}{hint}"

    def _end_others(self, patience: float) -> None:
        self._wait(patience)
        for stop in ("terminate", "kill"):
            for process in self.others:
                if process.poll() is None:
                    getattr(process, stop)()
            self._wait(5.0)

    def _wait(self, patience: float) -> None:
        until = time.monotonic() + patience
        for process in self.others:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))


def end_with_parent() -> None:
    """Ends this process soon after the one that started it, which may be killed in a way that it can't pass on."""
    parent = int(os.environ.get(PARENT, os.getppid()))  # who may be gone by now

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        # An exchange with the first process, which is gone, ends this one by itself more often than not.
        time.sleep(5.0)
        end_by_force()

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _leave_process_group() -> None:
    """Forgets the other processes, in PyTorch and in Lightning, so that a later training in this one can begin anew."""
    group = _process_group()
    if group is not None:
        with suppress(RuntimeError):
            group.destroy_process_group()
    rank_zero = sys.modules.get("lightning.fabric.utilities.rank_zero")
    if rank_zero is not None:
        rank_zero.rank_zero_only.rank = 0
