"""Signals to stop, outside of a training's steps: one line and an exit code, and no traceback. Light to import."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from pmodel.processes.ending import STOPPED, code_of_signal, end
from pmodel.processes.launch import is_first
from pmodel.processes.signals import STOP_SIGNALS, ignore_signals, obey, obey_again


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop."""

    def __init__(self, signal_number: int):
        super().__init__(signal_number)
        self.signal_number = signal_number


class _State:
    """Of this process: the signal that was noted, whether signals wait, and whether it is a worker of another."""

    noted = 0
    deferred = False
    worker = False


def on_signal(number: int, frame: FrameType | None = None) -> None:
    """Ends what is going on, or notes the signal where it has to wait; a second one does not."""
    if _State.deferred and not _State.noted:
        _State.noted = number
        return
    _State.noted = number
    raise Interrupted(number)


@contextmanager
def interruptible(cut: Callable[[], str]) -> Iterator[None]:
    """The whole of a command: a signal to stop ends it with one line.

    cut: is called then, and gives the end of that line
    """
    previous = obey(dict.fromkeys(STOP_SIGNALS, on_signal))
    _State.noted, _State.deferred = 0, False
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as ending:
        said = isinstance(ending, SystemExit)
        if said and ending.code not in STOPPED:
            raise
        ignore_signals()
        number = getattr(ending, "signal_number", signal.SIGINT)
        hint = cut()
        line = hint if said else f"\nstopped by {signal.Signals(number).name}{'; ' if hint else ''}{hint}"
        previous.clear()  # they stay ignored until the process has ended
        end(ending.code if said else code_of_signal(number), line if is_first() else "")
    finally:
        obey_again(previous)


def defer() -> None:
    """From now on signals wait for the next piece of work that can be ended anywhere.

    Hydra and OmegaConf, which compose jobs between these, turn an interruption into an error of their own.
    """
    _State.deferred = True


@contextmanager
def at_once() -> Iterator[None]:
    """A piece of work that can be ended anywhere; one that was asked for before ends it before it begins."""
    if _State.noted:
        raise Interrupted(_State.noted)
    before, _State.deferred = _State.deferred, False
    try:
        yield
    finally:
        _State.deferred = before


def become_worker(folder: Path) -> None:
    """Makes this one of the processes that work for a multirun's: a signal stops its job, and it begins no other."""
    _State.worker = _State.deferred = True
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{os.getpid()}.pid").touch()
    obey(dict.fromkeys(STOP_SIGNALS, on_signal))


def no_more_jobs(number: int) -> None:
    """Notes in a worker that it was asked to stop."""
    _State.noted = number


def is_worker() -> bool:
    """Whether this process works for another one, which says what there is to be said at the end."""
    return _State.worker


def worker_is_done() -> bool:
    """Whether this is a worker that was asked to stop."""
    return _State.worker and _State.noted != 0


@contextmanager
def workers_stop_first(folder: Path) -> Iterator[None]:
    """Waits for worker processes: a signal is handed on to them, and obeyed when their jobs have saved their state."""
    for file in folder.glob("*.pid"):
        file.unlink()

    def hand_on(number: int, frame: FrameType | None) -> None:
        _State.noted = number
        for file in folder.glob("*.pid"):
            with suppress(ProcessLookupError):
                os.kill(int(file.stem), signal.SIGTERM)

    previous = obey(dict.fromkeys(STOP_SIGNALS, hand_on))
    try:
        yield
    finally:
        obey_again(previous)
    if _State.noted:
        raise Interrupted(_State.noted)
