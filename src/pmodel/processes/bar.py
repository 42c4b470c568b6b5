"""A bar for work that may take longer than two seconds; where there is no terminal, a line now and then."""

import sys
from typing import ClassVar

from tqdm import tqdm

from pmodel.processes.launch import is_first


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this code."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


class Bar(tqdm):
    """How far a piece of work has come, and how long the rest takes; a context.

    On a terminal a bar, which vanishes. Elsewhere a line each half minute, and nothing in a notebook, which would keep
    it. Of several processes, the first one shows it.

    total: of the work, in any unit
    what: it is, in a word or two; None: without a bar
    """

    # trainer.enable_progress_bar=false turns all of them off.
    shown: ClassVar[bool] = True
    monitor_interval = 0  # without a thread of its own

    def __init__(self, total: float, what: str | None):
        form, seconds = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}", 0.1
        if not sys.stderr.isatty():
            form, seconds = "{desc}: {percentage:.0f}%, {remaining} left\n", 30.0
        hidden = what is None or not self.shown or not is_first() or in_notebook()
        timing = {"delay": 2.0, "mininterval": seconds}
        super().__init__(total=total, desc=what, disable=hidden, leave=False, bar_format=form, **timing)
