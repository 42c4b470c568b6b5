"""Files that hold either all of what was written to them last, or all of what they held before."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# Of what is not in its place yet; one for each file, so that a process that is killed leaves no more than that.
SUFFIX = ".tmp"


class NotWritten(ValueError):  # noqa: N818
    """A file that could not be written, and why; what stood there before is untouched."""


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Writes `content` beside `path`, brings it to the disk, and moves it to its place.

    Raises:
        NotWritten: of one line, which names the file, the reason and, where the disk is full, what was needed.
    """
    with replacing(path, len(content)) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path, size: int, owner: str = "", to_disk: bool = True) -> Iterator[IO[bytes]]:
    """A file beside `path`, which moves to its place once all is written.

    size: of what is to be written, for the message where the disk is full
    owner: part of that file's name, where several processes may write the same
    to_disk: whether it is on the disk by then; a power cut may leave it empty otherwise

    Raises:
        NotWritten: of one line, which names the file and the reason.
    """
    path = path.resolve()  # a link stays one
    temporary = path.with_name(f"{path.name}{owner}{SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if to_disk:
                # Else a power cut may leave a name whose content was never written.
                os.fsync(file.fileno())
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
        if to_disk:
            _sync_folder(path.parent)
    except BaseException as error:
        reason = _reason(error, path.parent, size) if isinstance(error, OSError) else None
        with contextlib.suppress(OSError):  # why it is there is being said
            temporary.unlink(missing_ok=True)
        if reason is None:
            raise
        kept = "; what it held before is kept" if path.exists() else ""
        raise NotWritten(f"{path} can't be written: {reason}{kept}") from error


def _reason(error: OSError, folder: Path, needed: int) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error.strerror or str(error)
    what = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
    free = shutil.disk_usage(folder).free if folder.exists() else 0
    return f"{what} ({needed / 1e6:,.1f} MB needed beside what it held, {free / 1e6:,.1f} MB free)"


def _sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
