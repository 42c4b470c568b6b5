"""A bar for work that may take longer than two seconds; where there is no terminal, a line now and then."""

import sys
import time
from types import TracebackType
from typing import ClassVar

from tqdm import tqdm

from pmodel.processes.launch import is_first


class Bar:
    """How far a piece of work has come, and how long the rest takes; a context.

    On a terminal a bar, which vanishes. Elsewhere lines, the first after two seconds. Of several processes, the first
    one shows it.

    total: of the work, in any unit
    what: it is, in a word or two; None: without a bar
    """

    DELAY, BETWEEN = 2.0, 30.0
    # trainer.enable_progress_bar=false turns all of them off.
    shown: ClassVar[bool] = True

    def __init__(self, total: float, what: str | None):
        self.total, self.what, self.done = total, what, 0.0
        self._bar: tqdm | None = None

    def __enter__(self) -> "Bar":
        self._begun = time.monotonic()
        self._next = self._begun + self.DELAY
        self._here = self.shown and self.what is not None and is_first()
        if self._here and sys.stderr.isatty():
            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(total=self.total, desc=self.what, delay=self.DELAY, leave=False, bar_format=form)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, part: float = 1) -> None:
        """Adds work that is done."""
        self.done += part
        if self._bar is not None:
            self._bar.update(part)
            return
        now = time.monotonic()
        if self._here and now >= self._next and self.done < self.total:
            self._next = now + self.BETWEEN
            left = (now - self._begun) * (self.total - self.done) / self.done
            print(f"{self.what}: {self.done / self.total:.0%}, about {duration(left)} left", flush=True)


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
