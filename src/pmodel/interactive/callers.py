"""What a caller has for the whole process, and finds again after a training or an evaluation."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pmodel.callbacks.resume import random_states, restore_random_states
from pmodel.processes.bar import Bar
from pmodel.processes.signals import handlers_restored
from pmodel.processes.threads import threads_restored


@contextmanager
def callers_kept() -> Iterator[None]:
    """Afterwards filters of warnings, handlers of signals, random states, the number of threads and the level of
    logging are what they were."""
    states, level, bars = random_states(), logging.getLogger().level, Bar.shown
    try:
        with warnings.catch_warnings(), handlers_restored(), threads_restored():
            yield
    finally:
        restore_random_states(states)
        logging.getLogger().setLevel(level)
        Bar.shown = bars
