"""The other processes of a training as forks of this one, which need not import everything again."""

import os
import runpy
import signal
import subprocess
import sys
import time
import traceback

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.utilities import rank_zero_only


class Fork:
    """What `subprocess.Popen` would be of the same command, as far as `Processes` uses it."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _run(command, environment)

    def poll(self) -> int | None:
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("fork", timeout)
            time.sleep(0.01)
        return self.returncode

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _run(command: list[str], environment: dict[str, str]) -> None:
    """Does in this process what the command would do in a new one, and ends it."""
    code = 0
    try:
        os.environ.clear()
        os.environ.update(environment)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        rank_zero_only.rank = int(environment.get("LOCAL_RANK", 0))
        torch.set_num_threads(1)
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        sys.argv = command[1:]
        runpy.run_path(command[1], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def start_forked(self: object, environment: dict[str, str]) -> Fork:
    """In place of `Processes._start`."""
    return Fork(self.command, environment)
