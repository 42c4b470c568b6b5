"""What is in a .npy or a .npz, without reading it. Light to import: the command line's check asks for a shape."""

import functools
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from pmodel.files.foreign import regular
from pmodel.files.printable import first_line, printable

# Values that are looked at to tell whether there are two levels.
MAX_LOOKED_AT = 2**24


class Header(NamedTuple):
    """An array of examples in a file.

    name: in the .npz; None: the file is a .npy
    shape: (N, …), as it is stored
    dtype: its type
    """

    name: str | None
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def channels_last(self) -> bool:
        """Whether these are images (N, H, W, C)."""
        return len(self.shape) == 4 and self.shape[3] in (1, 3, 4) and self.shape[1] > 4

    @property
    def example(self) -> list[int]:
        """The shape of one example, [C, H, W] or [D]."""
        rest = list(self.shape[1:])
        if len(rest) == 2:
            return [1, *rest]
        return [rest[2], *rest[:2]] if self.channels_last else rest

    @property
    def num_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def header_of(path: str, array: str | None) -> Header:
    """The header of the examples in a file.

    array: their name in a .npz; None: that of the only array with more than one number for each example

    Raises:
        ValueError: of one line, if there are none.
    """
    file = Path(path).expanduser()
    about = file.stat() if file.exists() else None
    return _header_of(path, array, about and (about.st_mtime_ns, about.st_size))


@functools.lru_cache(maxsize=8)
def _header_of(path: str, array: str | None, version: Any) -> Header:
    place = f"data.path={path}"
    if is_npz(path):
        headers = {name: _read_header(path, name) for name in names_in(path)}
        if array is None:
            large = [name for name, found in headers.items() if np.prod(found.shape[1:]) > 1]
            if len(large) != 1:
                raise ValueError(f"{place}: data.array=… must name the examples; there are {_listed(headers)}")
            array = large[0]
        if array not in headers:
            raise ValueError(f"data.array={array}: there is none in {path}; there are {_listed(headers)}")
        header = headers[array]
    else:
        if array is not None:
            raise ValueError(f"data.array={array}: expected null with a .npy, which holds one array")
        header = _read_header(path, None)
    if header.dtype.kind not in "biuf" or len(header.shape) not in (2, 3, 4) or 0 in header.shape[1:]:
        raise ValueError(
            f"{place}: {list(header.shape)} of {header.dtype}: expected numbers: points (N, D), or images"
            " (N, C, H, W), (N, H, W, C) or (N, H, W)"
        )
    if header.shape[0] < 3:
        raise ValueError(f"{place}: {header.shape[0]} examples, expected at least 3, one for each split")
    return header


def is_npz(path: str) -> bool:
    return zipfile.is_zipfile(Path(path).expanduser())


def names_in(path: str) -> list[str]:
    """The names of the arrays in a .npz."""
    with zipfile.ZipFile(Path(path).expanduser()) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


@contextmanager
def opened(path: str, name: str | None) -> Iterator[IO[bytes]]:
    """The bytes of a .npy, or of an array in a .npz."""
    file = regular(Path(path).expanduser())
    if name is None:
        with file.open("rb") as stream:
            yield stream
    else:
        with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
            yield stream


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type of the array of which a stream gives the bytes."""
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return reader(stream)


def _read_header(path: str, name: str | None) -> Header:
    try:
        with opened(path, name) as stream:
            shape, _, dtype = read_header(stream)
            begin, needed = stream.tell(), math.prod(shape) * dtype.itemsize
            if name is None and stream.seek(0, os.SEEK_END) - begin < needed:
                raise ValueError(f"it is cut: {needed:,} bytes are expected")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        what = f"{name} " if name else ""
        raise ValueError(f"data.path={path}: {what}can't be read as an array: {first_line(error)}") from None
    return Header(name, shape, dtype)


def num_levels(path: str, header: Header) -> int | None:
    """How many levels images have, by their first values: two if these are 0 or 1, else 256; None: they are points."""
    if len(header.shape) == 2:
        return None
    if header.dtype.kind == "b":
        return 2
    with opened(path, header.name) as stream:
        read_header(stream)
        values = np.frombuffer(stream.read(MAX_LOOKED_AT * header.dtype.itemsize), header.dtype)
    return 2 if bool(((values == 0) | (values == 1)).all()) else 256


def labels_in(path: str, labels: str, count: int) -> np.ndarray:
    """The labels (N,): an array in a .npz, or a .npy.

    Raises:
        ValueError: of one line, if there are none.
    """
    place, in_npz = f"data.labels={labels}", is_npz(path) and labels in names_in(path)
    file = path if in_npz else labels
    if not in_npz and not Path(labels).expanduser().is_file():
        known = f"there is no such array in {path}, and no such file" if is_npz(path) else "there is no such file"
        raise ValueError(f"{place}: {known}")
    try:
        with opened(file, labels if in_npz else None) as stream:
            found = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{place}: can't be read as an array: {error}") from None
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if found.shape != (count,):
        raise ValueError(f"{place}: labels of the shape {list(found.shape)}: expected [{count}], one for each example")
    return found


def num_classes(labels: np.ndarray) -> int:
    """How many classes the labels distinguish; −1 is none."""
    return len(set(np.unique(labels).tolist()) - {-1})


def _listed(headers: dict[str, Header]) -> str:
    return ", ".join(f"{printable(name)} {list(h.shape)}" for name, h in headers.items()) or "no arrays"
