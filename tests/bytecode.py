"""Keeps what this process compiles for the processes that tests start, where Python is told to keep no bytecode.

Each of them would compile PyTorch and Lightning anew, which takes longer than most of what it is started for.
"""

import os
import sys
import tempfile

_folder: tempfile.TemporaryDirectory | None = None
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    _folder = tempfile.TemporaryDirectory(prefix="pmodel_bytecode_", ignore_cleanup_errors=True)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = _folder.name
    sys.dont_write_bytecode = False


def remove() -> None:
    if _folder is not None:
        sys.dont_write_bytecode = True
        _folder.cleanup()
