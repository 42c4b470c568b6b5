"""How a process ends: the only place that ends one, and what its exit code says. Light to import."""

import os
import signal
import sys
from typing import NoReturn

FAILED = 1
# The command line, a config file or what they name is wrong, and nothing was written.
WRONG_INPUT = 2
# sysexits.h calls it a temporary failure: run again. What a batch script asks for before it requeues its job.
TRY_AGAIN = 75
INTERRUPTED = 128 + signal.SIGINT
STOPPED = (TRY_AGAIN, INTERRUPTED)


def code_of_signal(number: int) -> int:
    """130 for Ctrl-C, as everywhere; 75 for what asks to be started again."""
    return INTERRUPTED if number == signal.SIGINT else TRY_AGAIN


def in_multirun() -> bool:
    """Whether this run is a job of a multirun."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def end(code: int, line: str = "") -> NoReturn:
    """Ends the command, with a line on stderr that says why."""
    if line:
        print(line, file=sys.stderr, flush=True)
    raise SystemExit(code) from None


def end_job(line: str, code: int = FAILED, short: str | None = None) -> NoReturn:
    """Ends a run that can't go on, with a line that says why; in a multirun by an error, after which the others go on.

    short: the same, for Hydra to repeat at the end of a multirun whose job left nothing behind; None: the line
    """
    if not in_multirun():
        end(code, f"error: {line}")
    from hydra.errors import CompactHydraException

    print(f"error: {line}", file=sys.stderr, flush=True)
    raise CompactHydraException(f"a job failed: {short or line}") from None


def end_by_force() -> NoReturn:
    """Ends the process from any of its threads, whatever the others wait for."""
    os._exit(FAILED)
