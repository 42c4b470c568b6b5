"""Handlers of signals: the only place that sets one. Light to import."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Ctrl-C; what a cluster sends when a job's time is over or its machine is needed; and, of Slurm's `--signal` and of
# submitit, two that are free for such a use.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def obey(handlers: dict[int, Any]) -> dict[int, Any]:
    """Sets handlers of signals, and gives those which they replace; an ignored SIGINT stays ignored. In another thread
    than the main one, where nobody may set any, it sets none.

    A script's `train.py &` and `nohup train.py &` begin with SIGINT ignored: Ctrl-C is for what runs in the foreground.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    in_background = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    set_here = {number: new for number, new in handlers.items() if number != signal.SIGINT or not in_background}
    return {number: signal.signal(number, new) for number, new in set_here.items()}


def obey_again(handlers: dict[int, Any]) -> None:
    """Sets what `obey` replaced."""
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Afterwards signals to stop do what they did before, whatever was set meanwhile."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            obey_again(before)


def ignore_signals() -> None:
    """From now on signals to stop change nothing: what is left to be done is short, and should be."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
