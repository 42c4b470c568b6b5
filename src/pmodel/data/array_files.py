"""Files of the user's own arrays: a .npy or a .npz of images or points, with labels where there are any."""

import math
import shutil
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pmodel.data.array_headers import Header, header_of, labels_in, opened
from pmodel.data.arrays import ROUNDED, as_levels, as_points, classes, refuse_not_finite, tenth
from pmodel.data.base import ALL, ORDER, Split, Stored
from pmodel.data.image_files import version
from pmodel.data.images import SHARDS, ImageDataModule, Storage
from pmodel.data.shards import Rows, Shards, key_of
from pmodel.files.printable import first_line
from pmodel.settings.ranges import Text, Two


class ArrayFile(ImageDataModule):
    """The examples of an array (N, …), in a fixed, mixed order: a tenth for test, `num_validation` before them for
    validation.

    Images are (N, C, H, W), (N, H, W) or (N, H, W, C): bytes, bools, other whole numbers of that range, or floats in
    [0, 1], which are rounded to 256 levels. Points are (N, D), and become float32. Bytes (N, C, H, W) in a .npy are
    read where they lie; other large arrays are converted once, into shards.

    path: a .npy or a .npz
    array: the name of the examples in a .npz; None: that of the only array with more than one number for each
    labels: a .npy, or the name of an array in the .npz: whole numbers, −1 where there is none, or texts; None: none
    source_levels: how many values a sub-pixel of the images has; None: they are points
    storage: where the examples are held: see `ImageFolder`

    Raises:
        ValueError: if a setting is out of its range, or contradicts another; if the file has no such arrays, or values
            out of their range.
    """

    source = "arrays"

    def __init__(
        self,
        path: Text,
        array: Text | None,
        labels: Text | None,
        source_levels: Two | None,
        storage: Storage,
        data_dir: str,
        **common: Any,
    ) -> None:
        self.source_levels = source_levels
        super().__init__(**common)
        self.path, self.array, self.label_array, self.storage = path, array, labels, storage
        self.shards_dir = Path(data_dir).expanduser() / SHARDS
        if source_levels is None and (self.binarize != "none" or self.dequantize or self.flip):
            raise ValueError("data.binarize, data.dequantize and data.flip are for images; the data are points (N, D)")

    @cached_property
    def header(self) -> Header:
        """What the array is."""
        return header_of(self.path, self.array)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self._labels[1]

    def size(self, split: Split) -> int:
        return len(self._positions(split))

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "path": self.path, "array": self.array, "labels": self.label_array}

    def load(self, split: Split) -> Stored:
        positions = self._positions(split)
        return self._examples(positions, split), self._labels[0][positions]

    def load_all(self) -> Stored:
        return self._examples(torch.arange(self.header.shape[0]), ALL), self._labels[0]

    def _positions(self, split: Split) -> Tensor:
        """Those of a split's examples in the file, (N,), in the split's order."""
        count = self.header.shape[0]
        mixed = torch.randperm(count, generator=self.generator_for(ORDER, "train"))
        return self.carved(split, mixed, mixed, num_test=tenth(count))[0]

    def _examples(self, positions: Tensor, split: str) -> Tensor | Shards:
        stored, moved = self._stored_array, False
        shape = (len(positions), *self.header.example)
        settings = (self.array, self.source_levels, self.num_validation, self.limit, self.split_seed, split)
        key = key_of(version(self._file), *settings)
        is_bytes = stored.dtype == np.uint8 and stored.flags.c_contiguous and self.source_levels == 256
        if isinstance(stored, np.memmap) and is_bytes and self.on_disk(math.prod(shape)):
            return Shards([np.asarray(stored)], key, positions)

        def read(first: int, last: int) -> np.ndarray:
            nonlocal moved
            # In the file's own order, which is faster on a disk.
            rows, order = positions[first:last].sort()
            part = plain(stored[rows.numpy()])[order.argsort()]
            try:
                if self.source_levels is None:
                    return as_points(part).numpy()
                refuse_not_finite(part)
                found, rounded = as_levels(part, self.source_levels)
            except ValueError as error:
                raise ValueError(f"data.path={self.path}: {str(error).removeprefix('data: ')}") from None
            moved = moved or rounded
            return found.numpy()

        dtype = np.float32 if self.source_levels is None else np.uint8
        x, rounded = self.held(Rows(shape, dtype, read, lambda: moved), lambda: key, "reading examples")
        self.notes = [ROUNDED] if any(rounded) else self.notes
        return x

    @cached_property
    def _stored_array(self) -> np.ndarray:
        """The array as examples (N, C, H, W) or (N, D), in the file's own type; on the disk, unless it is small."""
        header = self.header
        try:
            if header.name is not None and not self.on_disk(header.num_bytes):
                with opened(self.path, header.name) as stream:
                    found = np.lib.format.read_array(stream, allow_pickle=False)
            else:
                found = np.load(self._unpacked() if header.name else self._file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"data.path={self.path}: can't be read as an array: {first_line(error)}") from None
        if header.channels_last:
            return found.transpose(0, 3, 1, 2)
        return found[:, None] if found.ndim == 3 else found

    def _unpacked(self) -> Path:
        """A file with the array of a .npz, which can't be read from its middle."""
        file = self.shards_dir / key_of(version(self._file), self.header.name) / "array.npy"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".tmp")
            with opened(self.path, self.header.name) as stream, temporary.open("wb") as out:
                shutil.copyfileobj(stream, out, 2**20)
            temporary.replace(file)
        return file

    @property
    def _file(self) -> Path:
        return Path(self.path).expanduser()

    @cached_property
    def _labels(self) -> tuple[Tensor, tuple[str, ...] | None]:
        """The classes (N,), and their names."""
        count = self.header.shape[0]
        if self.label_array is None:
            return torch.full((count,), -1), None
        return classes(labels_in(self.path, self.label_array, count), count)


def plain(array: np.ndarray) -> Tensor:
    """An array of numbers as a tensor of one's own, of a type that PyTorch computes with."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    small = kind == "b" or array.dtype == np.uint8
    wanted = array.dtype if small else {"f": np.float64 if size > 4 else np.float32}.get(kind, np.int64)
    return torch.from_numpy(np.array(array, wanted))
