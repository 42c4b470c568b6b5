"""The processes that share the work of a command on finished runs, one for each device.

Light to import: they load their libraries while this one does.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pmodel.files.printable import first_line
from pmodel.processes.ending import FAILED, end
from pmodel.processes.launch import Processes, end_with_parent, is_first, launched, num_processes, threads_asked_for


@contextmanager
def sharing(command: str, trainer: dict[str, Any], *more: str) -> Iterator[None]:
    """Starts the others, which do the same command with the same words; inside of it `ProcessGroup.launch` finds them.
    Where one of them dies, a line says so, and the rest end.

    command: its name, as `pmodel` takes it
    trainer: `accelerator` and `devices`
    more: words for the others alone
    """
    by = launched().by
    if by == "pmodel":
        end_with_parent()
    count = num_processes({"strategy": "auto", **trainer}) if by == "user" else 1
    words = [sys.executable, "-m", "pmodel", command, *sys.argv[1:], *more]
    with Processes(count, words, _no_status, _say, threads_asked_for("auto")) as processes:
        try:
            yield
        except RuntimeError:
            line = processes.death()
            if line is None:
                raise
            end(FAILED, f"error: {line}" if is_first() else "")


def _no_status(rank: int) -> Path:
    """Where another process would leave what it failed of; these say it to the first one."""
    return Path(tempfile.gettempdir(), f"pmodel_{os.getpid()}_{rank}.json")


def _say(line: str) -> None:
    print(f"error: {line}", file=sys.stderr, flush=True)


@contextmanager
def one_line(code: int) -> Iterator[None]:
    """Turns what is wrong with the user's input into one line and an exit code; anything else may be a defect, and
    keeps its traceback."""
    try:
        yield
    except ValueError as error:
        end(code, f"error: {first_line(error)}" if is_first() else "")
