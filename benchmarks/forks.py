"""Runs of train.py as forks of a process that has imported everything, to be killed at any moment."""

import contextlib
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


def import_everything() -> None:
    """So that forks begin at once."""
    import importlib
    import pkgutil

    import lightning
    import matplotlib.pyplot
    import torch

    import pmodel

    assert lightning
    assert matplotlib.pyplot
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(pmodel.__path__, "pmodel."):
        if "wandb" not in module.name:
            importlib.import_module(module.name)


class Fork(NamedTuple):
    """A process that runs train.py with these arguments; one of two where it has a rank."""

    arguments: list[str]
    output: Path
    cwd: Path
    in_write: int | None
    rank: int | None = None
    port: int = 0
    directory: Path | None = None

    def start(self) -> int:
        """Its process id."""
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            code = self._run()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _run(self) -> int:
        file = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir(self.cwd)
        arguments = self.arguments
        if self.rank is not None:
            shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self.port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
            os.environ.update(shared | {"LOCAL_RANK": str(self.rank)})
        if self.directory is not None:
            arguments = self._arguments_of_second()
        if self.in_write is not None:
            die_in_write(self.in_write)
        sys.argv = [str(ROOT / "train.py"), *arguments]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
                return 1
            return int(end.code or 0)
        return 0

    def _arguments_of_second(self) -> list[str]:
        """As the first process passes them on, once it has written config.yaml."""
        from pmodel.runs.typed import arguments_of_run

        while not (self.directory / "config.yaml").is_file():
            time.sleep(0.01)
        last = self.directory / "checkpoints" / "last.ckpt"
        return arguments_of_run(self.directory, last if last.is_file() else None)


def die_in_write(number: int) -> None:
    """Kills this process inside the n-th of its atomic writes: before its bytes are on the disk, or before or after it
    has its name."""
    from pmodel.files import atomic

    calls = 0

    def dying(call: Callable) -> Callable:
        def wrapped(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3 * number:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args)
            if calls == 3 * number - 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    class Dying:
        fsync, replace = staticmethod(dying(os.fsync)), staticmethod(dying(os.replace))

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    atomic.os = Dying()


class Started:
    """Processes that were started together."""

    def __init__(self, pids: list[int], output: Path, group: bool = False):
        self.pids, self.output, self.group = pids, output, group
        self.codes: dict[int, int] = {}

    def _poll(self) -> bool:
        """Whether all have ended."""
        for pid in self.pids:
            if pid not in self.codes:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self.codes[pid] = os.waitstatus_to_exitcode(status)
        return len(self.codes) == len(self.pids)

    def wait(self, seconds: float) -> bool:
        """Waits for their end, or for one that failed; whether all ended well."""
        until = time.monotonic() + seconds
        while not self._poll() and time.monotonic() < until and not any(self.codes.values()):
            time.sleep(0.005)
        return len(self.codes) == len(self.pids) and not any(self.codes.values())

    def wait_for_write(self, file: Path, since: float) -> float:
        """Waits until a file has been written after a time, or all is over; gives the time at which it was."""
        while not self._poll():
            if file.is_file() and file.stat().st_mtime > since:
                return file.stat().st_mtime
            time.sleep(0.02)
        return time.time()

    def kill_after(self, seconds: float) -> str:
        """Kills them after a time, if they have not ended; where that was."""
        ended = self.wait(seconds)
        died = -signal.SIGKILL in self.codes.values()
        self._kill()
        if ended:
            return "ended before"
        # Where one was killed in a write, the other may fail of that before it is killed too.
        if not died and any(code not in (0, -signal.SIGKILL) for code in self.codes.values()):
            raise RuntimeError(f"a run failed before it was killed: {self.output.read_text()[-3000:]}")
        return "in a write" if died else f"after {seconds:.2f} s"

    def finish(self) -> None:
        """Waits for their end.

        Raises:
            RuntimeError: if it is not a good one.
        """
        if not self.wait(600):
            self._kill()
            raise RuntimeError(f"a run failed: {self.output.read_text()[-3000:]}")

    def _kill(self) -> None:
        for pid in self.pids:
            if self.group:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            if pid not in self.codes:
                os.kill(pid, signal.SIGKILL)
        while not self._poll():
            time.sleep(0.005)
