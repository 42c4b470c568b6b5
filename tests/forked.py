"""Further processes that need not import everything again.

They are forks of a process that does nothing else. A fork of this one, in which earlier tests have left threads, could
wait forever for what one of these held.
"""

import multiprocessing
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from functools import cache
from pathlib import Path

import pmodel

server = multiprocessing.get_context("forkserver")
parts = (module.name for module in pkgutil.walk_packages(pmodel.__path__, "pmodel."))
server.set_forkserver_preload(["environment", "matplotlib.pyplot", *(name for name in parts if "wandb" not in name)])

# What is to happen in a process: "rank step what", where what is kill, stop or fail.
EVENT = "PMODEL_TEST_EVENT"


@cache
def _outputs() -> tempfile.TemporaryDirectory:
    """Where forks write; removed when this process ends."""
    return tempfile.TemporaryDirectory(prefix="pmodel_forks_")


class Fork:
    """What `subprocess.Popen` would be of the same command, as far as `Processes` uses it."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        handle, self.output = tempfile.mkstemp(dir=_outputs().name)
        os.close(handle)
        arguments = (command, environment, os.getcwd(), self.output)
        self._process = server.Process(target=_run, args=arguments)
        # It is started where a test runs, whose warnings are errors.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("fork", timeout)
        return self._process.exitcode

    def said(self) -> str:
        """All that it has written, to stdout and to stderr."""
        return Path(self.output).read_text(encoding="utf-8")

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def start_forked(self: object, environment: dict[str, str]) -> Fork:
    """In place of `Processes._start`."""
    return Fork(self.command, environment)


def _run(command: list[str], environment: dict[str, str], folder: str, output: str) -> None:
    """Does in this process what the command would do in a new one, and ends it."""
    from lightning.pytorch.utilities import rank_zero_only

    from pmodel.processes.launch import PARENT, Processes

    code = 0
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment | {PARENT: str(os.getppid())})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        rank_zero_only.rank = int(environment.get("LOCAL_RANK", 0))
        Processes._start = start_forked
        if environment.get(EVENT):
            _arrange(*environment[EVENT].split())
        if command[1] == "-m":
            sys.argv = command[2:]
            runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        else:
            sys.argv = command[1:]
            runpy.run_path(command[1], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _arrange(rank: str, step: str, what: str) -> None:
    """Lets something happen in this process after a step, if it has that rank."""
    from pmodel.callbacks.timing import Timing

    original = Timing.on_train_batch_end

    def hook(self: Timing, trainer: object, *arguments: object) -> None:
        original(self, trainer, *arguments)
        if (trainer.global_step, trainer.global_rank) != (int(step), int(rank)):
            return
        if what == "fail":
            raise ValueError("the second one has had enough")
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGTERM}[what])

    Timing.on_train_batch_end = hook
