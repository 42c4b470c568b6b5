"""Takes from this process, and so from those which tests start, what a user's shell may set and no test is about.

What is about such a setting sets it itself. Left as they are: PMODEL_DATA_DIR, CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS,
the home directory with its caches, the locale, the time zone and the umask, under which all tests hold.
"""

import os
import signal

from pmodel.commands.deferred import defer_imports

PREFIXES = (
    "PMODEL_",  # who started a process, and what is to happen in it
    "SLURM_",  # a shell within an allocation would make each training a task of it
    "TORCHELASTIC_",  # likewise, of torchrun
    "WANDB_",  # an account, another server, no files; see also NETRC below
    "GIT_",  # a hook's GIT_DIR makes git speak of another repository
    "HYDRA_",  # HYDRA_FULL_ERROR shows tracebacks where tests read one line
)
NAMES = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
    *("COLUMNS", "LINES"),  # tables are fitted into them
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"),  # escapes in what tests read
    "PYTEST_ADDOPTS",  # of this pytest, and not of one that a test runs
    *("PYTHONWARNINGS", "PYTHONIOENCODING"),  # pytest's filters are for this process alone; output is read as UTF-8
    *("MPLBACKEND", "MATPLOTLIBRC"),  # one with windows, or another look
)
KEPT = ("PMODEL_DATA_DIR",)


def neutralize() -> None:
    for name in list(os.environ):
        if (name.startswith(PREFIXES) or name in NAMES) and name not in KEPT:
            del os.environ[name]
    # W&B's account is not for tests.
    os.environ |= dict.fromkeys(("NETRC", "WANDB_CONFIG_DIR"), os.devnull)
    # `nohup … &` and a script's `… &` begin with Ctrl-C ignored, and processes hand this on to those they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


neutralize()
defer_imports()  # as train.py does; of the processes that are forked too
