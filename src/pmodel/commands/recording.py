"""The state of a run from its first second to its last: train.log, status.json, one line at its end, an exit code."""

import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from tqdm import tqdm

from pmodel.callbacks.last import Stopped
from pmodel.callbacks.pruning import Pruned
from pmodel.commands.memory import out_of_memory_line
from pmodel.commands.quiet import quieten_libraries
from pmodel.files.atomic import NotWritten
from pmodel.files.printable import first_line, shown
from pmodel.loggers.wandb_start import finish
from pmodel.processes.ending import FAILED, WRONG_INPUT, code_of_signal, end, end_job, in_multirun
from pmodel.processes.launch import Processes, is_first
from pmodel.processes.signals import STOP_SIGNALS, ignore_signals, obey, obey_again
from pmodel.processes.stopping import is_worker, no_more_jobs, on_signal
from pmodel.runs.directory import RunDirectory
from pmodel.training.divergence import Diverged

log = logging.getLogger("pmodel")


class Warnings(logging.Handler):
    """Shows the project's own warnings, and keeps them in status.json."""

    def __init__(self, run: RunDirectory):
        super().__init__(logging.WARNING)
        self.run = run

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno != logging.WARNING:
            return  # a failure has a line of its own
        if is_first():
            tqdm.write(f"warning: {record.getMessage()}", file=sys.stderr)  # above a progress bar
        with suppress(NotWritten):
            self.run.add_warning(record.getMessage())


@contextmanager
def logged(run: RunDirectory) -> Iterator[None]:
    """Keeps train.log and the warnings of status.json."""
    handler = logging.FileHandler(run.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root, warnings = logging.getLogger(), Warnings(run)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    quieten_libraries()
    log.addHandler(warnings)
    log.info("started")
    try:
        yield
    finally:
        log.removeHandler(warnings)
        root.removeHandler(handler)
        with suppress(OSError):
            handler.close()


@contextmanager
def recorded(run: RunDirectory, settings: dict[str, Any], processes: Processes) -> Iterator[dict[str, Any]]:
    """Keeps train.log and status.json while a run is on, and turns its end into one line and an exit code.

    What is put into the dict that it gives is added to the status of a run that is done.

    Raises:
        SystemExit: 2 where the input was wrong, 1 after another failure, 130 after Ctrl-C, 75 after a cluster's signal.
    """
    code, reached = 1, {}
    with logged(run), _stopping() as previous:
        try:
            run.set_status("running")
            yield reached
            code = 0
            processes.ends()
            run.set_status("done", **reached)
            log.info("done")
        except Pruned as reason:
            code = 0
            processes.ends()
            run.set_status("pruned", reason=str(reason), **reached)
            log.info("pruned: %s", reason)
            if is_first():
                print(f"pruned    {reason}")
        except (Stopped, KeyboardInterrupt, SystemExit) as ending:
            # Lightning turns a KeyboardInterrupt into SystemExit(1).
            if isinstance(ending, SystemExit) and not isinstance(ending.__context__, KeyboardInterrupt):
                run.set_status("failed", reason=f"exit code {ending.code}")
                raise
            number = getattr(ending, "signal_number", signal.SIGINT)
            processes.ends()
            code = _stop(run, number)
            if callable(previous.get(number)) and previous[number] not in (on_signal, signal.default_int_handler):
                # That of a scheduler which asked to stop: it puts the job back into its queue.
                obey_again({number: previous[number]})
                signal.raise_signal(number)
            if not is_worker():
                previous.clear()  # signals stay ignored until the process has ended
                end(code)
            no_more_jobs(number)
        except Exception as error:
            _fail(run, error, settings, processes)
        finally:
            finish(code)
            if code == 0 and not is_first():
                run.status_file.unlink(missing_ok=True)
                run.log.unlink(missing_ok=True)


@contextmanager
def _stopping() -> Iterator[dict[int, Any]]:
    """Outside of steps, where `LastCheckpoint` does better, a signal to stop ends the run at once."""
    previous = obey(dict.fromkeys(STOP_SIGNALS, _raise_stopped) | {signal.SIGINT: signal.default_int_handler})
    try:
        yield previous
    finally:
        obey_again(previous)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


def _stop(run: RunDirectory, number: int) -> int:
    """Notes that a run was stopped, says how it goes on, and gives the exit code."""
    ignore_signals()
    reason = f"stopped by {signal.Signals(number).name}"
    run.set_status("stopped", reason=reason)
    log.info(reason)
    if is_first():
        # A multirun says itself how it goes on.
        print(f"\n{reason}{'' if in_multirun() else run.how_to_go_on}", file=sys.stderr)
    return code_of_signal(number)


def _misfit(error: Exception) -> str | None:
    """A line about a file that was named: a checkpoint of another model, or what can't be read, such as a folder."""
    if isinstance(error, RuntimeError) and str(error).startswith("Error(s) in loading state_dict"):
        reason = str(error).splitlines()[1].strip().rstrip(".")
        return f"resume: the checkpoint is of another model, or of another size: {reason[:200]}"
    of_a_file = isinstance(error, OSError) and isinstance(error.filename, str | bytes | os.PathLike)
    return f"{os.fsdecode(error.filename)}: {error.strerror}" if of_a_file else None


def _fail(run: RunDirectory, error: Exception, settings: dict[str, Any], processes: Processes) -> None:
    """Notes a failure and ends the run.

    Raises:
        SystemExit, or in a multirun, which goes on, CompactHydraException: with the failure's line.
    """
    memory = out_of_memory_line(error, settings, building=not run.has_trained)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # These are about what the user gave; anything else may be a defect, whose traceback should be seen, or the echo of
    # another process's end.
    misfit = None if run.has_trained else _misfit(error)
    about_input = isinstance(error, ValueError | MisconfigurationException) or misfit is not None
    death = None if memory or full or about_input else processes.death()
    processes.ends()
    line = memory or death or misfit or first_line(error)
    if full:
        line = f"the disk is full: {line}"
    hint = run.how_to_go_on if memory or full or death or isinstance(error, NotWritten) else ""
    kind = "" if memory or full or death else f"{type(error).__name__}: "
    with suppress(NotWritten):
        run.set_status("failed", reason=f"{kind}{line}")
    log.exception("failed")
    if not is_first():
        end(FAILED)
    written = run.has_trained or full or isinstance(error, NotWritten | Diverged)
    if (about_input or memory) and not (written or in_multirun()):
        end_job(line, WRONG_INPUT)
    if not (about_input or memory or full or death):
        traceback.print_exc()
    end_job(f"{line}{hint} (traceback in {shown(run.log)})", short=f"{line} ({shown(run.path)})")
