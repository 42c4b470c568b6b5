"""Which process may write in a folder: one at a time, and each run in a folder of its own."""

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from pmodel.files.foreign import regular
from pmodel.files.printable import shown


class InUse(ValueError):  # noqa: N818
    """Another process writes there, or none can."""


class Claim:
    """A folder that one process at a time uses; the system gives it free when that process ends, however it ends.

    Raises:
        InUse: of one line, if another process uses it, or if it can't be written to.
    """

    NAME = ".lock"

    def __init__(self, folder: Path):
        self.path = folder / self.NAME
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                file = self.path.open("a+", encoding="utf-8")
            except OSError as error:
                raise InUse(f"{shown(folder)} can't be written to ({error.strerror}: {error.filename})") from None
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip()
                file.close()
                raise InUse(f"{shown(folder)} is in use by {owner or 'another process'}") from None
            except OSError:
                pass  # a file system without locks
            # The one that held it may have removed it between our opening and our taking it.
            if self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(file.fileno())):
                break
            file.close()
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        self._file: IO[str] | None = file

    def release(self) -> None:
        """Gives the folder free."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._file.close()
            self._file = None


def in_use(folder: Path) -> bool:
    """Whether a process has claimed a folder; True also where that can't be known, in a file system without locks."""
    try:
        with regular(folder / Claim.NAME).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def reserve(path: Path) -> Path:
    """Makes a folder that was not there before: this path, or with _2, _3 … if another process was quicker."""
    number = 1
    while True:
        candidate = path if number == 1 else path.with_name(f"{path.name}_{number}")
        try:
            candidate.mkdir(parents=True)
        except FileNotFoundError:
            continue  # another process, whose run was refused, has just removed the parent
        except FileExistsError:
            number += 1
        else:
            return candidate
