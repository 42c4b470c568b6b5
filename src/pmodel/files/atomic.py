"""Files that hold either all of what was written to them last, or all of what they held before."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

# Of what is not in its place yet; one for each file, so that a process that is killed leaves no more than that.
SUFFIX = ".tmp"


class NotWritten(ValueError):  # noqa: N818
    """A file that could not be written, and why; what stood there before is untouched."""


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Writes `content` beside `path`, brings it to the disk, and moves it to its place.

    Raises:
        NotWritten: of one line, which names the file, the reason and, where the disk is full, what was needed.
    """
    path = path.resolve()  # a link stays one
    temporary = path.with_name(path.name + SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            # Else a power cut may leave a name whose content was never written.
            os.fsync(file.fileno())
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        free = _free_bytes(path.parent)  # before the removal gives some back
        _remove(temporary)
        kept = "; what it held before is kept" if path.exists() else ""
        raise NotWritten(f"{path} can't be written: {_reason(error, len(content), free)}{kept}") from error
    except BaseException:
        _remove(temporary)
        raise


def _reason(error: OSError, needed: int, free: int) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error.strerror or str(error)
    what = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
    return f"{what} ({_megabytes(needed)} needed beside what it held, {_megabytes(free)} free)"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _remove(path: Path) -> None:
    # Why it is there is being said.
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
