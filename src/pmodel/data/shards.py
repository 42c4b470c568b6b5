"""Examples on disk: written once, in shards that are memory-mapped, and read by their positions."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pmodel.files.atomic import SUFFIX, replacing, write_atomically
from pmodel.processes.bar import Bar

# Of one shard: what is lost if a process is killed while it writes. And the most shards: each stays an open file.
SHARD_BYTES, MAX_SHARDS = 2**27, 256
# What is read at once to be written.
PART_BYTES, MAX_PART = 2**24, 256
# Counts up with every change that makes other shards of the same files and settings.
RECIPE = 1


class Shards:
    """A tensor (N, …), uint8 or float32, of which only those rows are read that are asked for.

    parts: memory-mapped arrays (n, …), all as long as the first one but for the last
    key: what they are of, as a name
    rows: which of their rows these are, (N,), int64; None: all, in their order
    """

    def __init__(self, parts: Sequence[np.ndarray], key: str, rows: Tensor | None = None):
        self._parts, self._rows, self.key = parts, rows, key
        self._length = len(parts[0])
        self._count = sum(map(len, parts)) if rows is None else len(rows)
        self.dtype = torch.from_numpy(np.empty(0, parts[0].dtype)).dtype

    @property
    def shape(self) -> torch.Size:
        return torch.Size([self._count, *self._parts[0].shape[1:]])

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """The rows of a slice, or at positions (B,), int64: a tensor (B, …) in memory."""
        if isinstance(index, slice):
            index = torch.arange(*index.indices(self._count))
        rows, order = (index if self._rows is None else self._rows[index]).sort(stable=True)
        found = torch.empty(len(rows), *self.shape[1:], dtype=self.dtype)
        shards, counts = (rows // self._length).unique_consecutive(return_counts=True)
        begin = 0
        for shard, count in zip(shards.tolist(), counts.tolist(), strict=True):
            own = slice(begin, begin := begin + count)
            # Unlike an index, this lets other threads compute while a page comes from the disk.
            self._parts[shard].take((rows[own] - shard * self._length).numpy(), 0, found[own].numpy(), "clip")
        return found if bool((order.diff() == 1).all()) else found.index_select(0, order.argsort())

    def select(self, positions: Tensor) -> "Shards":
        """The rows at positions (n,), int64, without reading them."""
        return Shards(self._parts, self.key, positions if self._rows is None else self._rows[positions])

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows in their order, `size` at a time."""
        return (self[first : first + size] for first in range(0, self._count, size))


class Lazily:
    """Examples (N, …) as a model sees them, of which `to` computes those that a slice or a part leaves.

    stored: as they are stored
    see: gives what a model sees of some of them
    """

    def __init__(self, stored: Tensor | Shards, see: Callable[[Tensor], Tensor]):
        self._stored, self._see = stored, see

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, rows: slice) -> "Lazily":
        stored = self._stored
        if isinstance(stored, Shards):
            return Lazily(stored.select(torch.arange(*rows.indices(len(stored)))), self._see)
        return Lazily(stored[rows], self._see)

    def split(self, size: int) -> list["Lazily"]:
        """In order, `size` at a time."""
        return [self[first : first + size] for first in range(0, max(1, len(self)), size)]

    def to(self, device: torch.device | str) -> Tensor:
        """All of them."""
        return self._see(self._stored[:]).to(device)


class Rows(NamedTuple):
    """Examples that are to be written as shards.

    shape: (N, …) of all
    dtype: uint8 or float32
    read: gives those from one position to another, an array (n, …)
    note: what there is to say of those that were read since it was asked last, a plain value
    """

    shape: tuple[int, ...]
    dtype: type
    read: Callable[[int, int], np.ndarray]
    note: Callable[[], Any] = lambda: None

    @property
    def bytes_of_one(self) -> int:
        return int(np.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize

    def ranges(self) -> list[tuple[int, int]]:
        """Where each shard begins and ends."""
        count = self.shape[0]
        length = max(-(-SHARD_BYTES // self.bytes_of_one), -(-count // MAX_SHARDS))
        return [(first, min(first + length, count)) for first in range(0, count, length)]


def key_of(*what: Any, files: Iterable[Any] = ()) -> str:
    """A name for shards that depend on plain values, and on one for each file."""
    found = hashlib.sha256(json.dumps([RECIPE, *what]).encode())
    for file in files:
        found.update(json.dumps(file).encode())
    return found.hexdigest()[:16]


def in_memory(rows: Rows, what: str) -> tuple[Tensor, list[Any]]:
    """Rows as a tensor, and what was noted of them; see `written`."""
    count, found = rows.shape[0], np.empty(rows.shape, rows.dtype)
    with Bar(count, what) as bar:
        for begin in range(0, count, MAX_PART):
            last = min(begin + MAX_PART, count)
            found[begin:last] = rows.read(begin, last)
            bar.update(last - begin)
    return torch.from_numpy(found), [rows.note()]


def written(rows: Rows, folder: Path, key: str, what: str) -> tuple[Shards, list[Any]]:
    """Rows as shards in folder/key, and what was noted of each; shards that are there are not made again.

    Processes that ask for the same shards at the same time share the work, whichever run they belong to. One that is
    killed leaves a shard that isn't there yet, and is written from its beginning.

    what: they are, in a few words, for the bar

    Raises:
        ValueError: of one line, if they can't be written, or if what is there is damaged.
    """
    folder, ranges = folder / key, rows.ranges()
    files = [folder / f"{i:05}.npy" for i in range(len(ranges))]
    missing = [i for i, file in enumerate(files) if not file.exists()]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _check_room(folder, rows.bytes_of_one * sum(ranges[i][1] - ranges[i][0] for i in missing))
            with Bar(sum(ranges[i][1] - ranges[i][0] for i in missing), what) as bar:
                _write_missing(rows, files, missing, bar)
        except OSError as error:
            raise ValueError(f"{folder} can't be written to: {error.strerror}; data_dir=… names another disk") from None
    try:
        parts = [np.load(file, mmap_mode="r").view(np.ndarray) for file in files]
        notes = [json.loads(file.with_suffix(".json").read_text(encoding="utf-8")) for file in files]
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} is damaged ({error}): delete it, and it is made anew") from None
    forms = [((last - first, *rows.shape[1:]), np.dtype(rows.dtype)) for first, last in ranges]
    if [(part.shape, part.dtype) for part in parts] != forms:
        raise ValueError(f"{folder} is damaged: delete it, and it is made anew")
    return Shards(parts, key), notes


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        reason = f"{needed / 1e9:,.1f} GB are needed, and {free / 1e9:,.1f} GB are free"
        raise OSError(errno.ENOSPC, reason)


def _write_missing(rows: Rows, files: list[Path], missing: list[int], bar: Bar) -> None:
    """Writes those shards that no other process writes, then waits for the others."""
    ranges = rows.ranges()
    with (files[0].parent / ".lock").open("a+") as lock:
        wait = False
        while missing:
            others = []
            for i in missing:
                with _locked(lock, i, wait) as is_ours:
                    if not is_ours:
                        others.append(i)
                    elif not files[i].exists():
                        _write(rows, files[i], *ranges[i], bar)
                wait = False
            # Whoever writes it may be killed: then it is ours.
            missing, wait = others, True


@contextmanager
def _locked(lock: IO, i: int, wait: bool) -> Iterator[bool]:
    """Holds byte i of a file, which stands for a shard; whether it is ours. The system frees what a process held."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB, 1, i)
    except OSError as error:
        # A file system without locks: two processes then write the same twice.
        yield error.errno not in (errno.EACCES, errno.EAGAIN)
        return
    try:
        yield True
    finally:
        fcntl.lockf(lock, fcntl.LOCK_UN, 1, i)


def _write(rows: Rows, file: Path, first: int, last: int, bar: Bar) -> None:
    """One shard: what is at its place is whole, at any time."""
    for left in file.parent.glob(f"{file.name}.*{SUFFIX}"):  # by one that was killed
        left.unlink()
    shape, dtype = (last - first, *rows.shape[1:]), np.dtype(rows.dtype)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    step = max(1, min(MAX_PART, PART_BYTES // rows.bytes_of_one))
    with replacing(file, shape[0] * rows.bytes_of_one, owner=f".{os.getpid()}") as out:
        np.lib.format.write_array_header_1_0(out, header)
        for begin in range(first, last, step):
            part = rows.read(begin, min(begin + step, last))
            out.write(np.ascontiguousarray(part, dtype).data)
            bar.update(len(part))
        write_atomically(file.with_suffix(".json"), json.dumps(rows.note()).encode())


def in_sequence(parts: Callable[[], Iterator[Tensor]]) -> Callable[[int, int], np.ndarray]:
    """What `Rows.read` is, of rows that can only be made in their order: part by part, from the first one."""
    made, begin, held = iter(()), 0, torch.empty(0)  # what follows, and the part that begins at that position

    def read(first: int, last: int) -> np.ndarray:
        nonlocal made, begin, held
        if first < begin or len(held) == 0:
            made, begin = parts(), 0
            held = next(made)
        pieces = [held[max(0, first - begin) : last - begin]]
        while begin + len(held) < last:
            begin, held = begin + len(held), next(made)
            pieces.append(held[max(0, first - begin) : last - begin])
        return torch.cat(pieces).numpy()

    return read
