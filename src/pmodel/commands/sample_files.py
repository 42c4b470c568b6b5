"""Draws as files, part by part: what is complete is seen from the files alone, whoever wrote them."""

import csv
import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from pmodel.commands.sample_place import SamplePlace, is_leftover
from pmodel.evaluation.draws import PART
from pmodel.files.atomic import replacing


@dataclass(frozen=True)
class Plan:
    """Which draws there shall be: number k = 0 … n − 1, PART of them at once.

    shape, dtype: of one draw in a file
    columns: of a .csv, the names; else None
    classes: draws take turns in them; None: the model draws as it does
    folders: the name of the folder of each of these; None: without
    digits: of a PNG file's number
    """

    n: int
    shape: tuple[int, ...]
    dtype: np.dtype
    columns: tuple[str, ...] | None
    classes: tuple[int, ...] | None
    folders: tuple[str, ...] | None
    digits: int

    @property
    def parts(self) -> range:
        return range(-(-self.n // PART))

    def draws(self, part: int) -> range:
        """The numbers of the draws of a part: of the last one, those below n."""
        return range(part * PART, min((part + 1) * PART, self.n))

    def labels(self, numbers: range) -> np.ndarray | None:
        """The classes of some draws, int64; None where the model chooses."""
        return None if self.classes is None else np.array(self.classes)[np.array(numbers) % len(self.classes)]


class PngFolder:
    """A PNG file for each draw, of 8 bits, grey or RGB: 000000.png, in a folder for each class where there are any."""

    def __init__(self, place: SamplePlace, plan: Plan):
        self.place, self.plan = place, plan
        self.folders = [place.path / name for name in plan.folders or ("",)]

    def file(self, k: int) -> Path:
        return self.folders[k % len(self.folders)] / f"{k:0{self.plan.digits}}.png"

    def prepare(self) -> None:
        """To be called by one process, before the others begin.

        Raises:
            ValueError: of one line, if there is a file of another kind among the draws.
        """
        own = {self.place.about, *self.folders, *map(self.file, range(self.plan.n))}
        for folder in {self.place.path, *self.folders}:
            for path in folder.iterdir() if folder.is_dir() else ():
                if is_leftover(path):
                    path.unlink(missing_ok=True)
                elif path not in own and not path.name.startswith("."):
                    raise ValueError(f"{self.place}: {path} is none of its draws: take it out, or type a new folder")

    def missing(self) -> tuple[list[int], int]:
        """The parts that are not complete, and how many draws there are."""
        # A power cut may leave a name without content.
        found = {e.path for f in self.folders if f.is_dir() for e in os.scandir(f) if e.stat().st_size > 0}
        is_there = [str(self.file(k)) in found for k in range(self.plan.n)]
        return [i for i in self.plan.parts if not all(is_there[k] for k in self.plan.draws(i))], sum(is_there)

    def write(self, part: int, x: np.ndarray) -> None:
        """Writes the draws (…, C, H, W) of a part.

        Raises:
            NotWritten: of one line, if the disk does not take them.
        """
        for k, image in zip(self.plan.draws(part), x, strict=True):
            buffer = BytesIO()
            Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(buffer, "PNG")
            # To wait for the disk takes ten times as long as all the rest.
            with replacing(self.file(k), buffer.tell(), f".{os.getpid()}", to_disk=False) as file:
                file.write(buffer.getbuffer())

    def finish(self) -> None:
        """All are in their places already."""


class OneFile:
    """One file of all draws, .npz or .csv; until they are complete, a file for each part in a folder beside it."""

    def __init__(self, place: SamplePlace, plan: Plan):
        self.place, self.plan = place, plan

    def file(self, part: int) -> Path:
        return self.place.work / f"{part:06}.npy"

    def prepare(self) -> None:
        """To be called by one process, before the others begin: of a file with fewer draws the complete parts are taken
        out again, and it stays until the new one is complete."""
        for path in self.place.work.iterdir():
            if is_leftover(path):
                path.unlink(missing_ok=True)
        self.place.path.with_name(f"{self.place.path.name}.tmp").unlink(missing_ok=True)
        if self._is_complete():
            return
        try:
            for part, x in enumerate(self._parts_of_file() if self.place.path.is_file() else ()):
                if len(x) == PART and not self._holds(part):
                    self.write(part, x)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.place}: the file is none of its draws, or was changed ({error})") from None

    def missing(self) -> tuple[list[int], int]:
        """The parts that are not complete, and how many draws there are."""
        if self._is_complete():
            return [], self.plan.n
        missing = [i for i in self.plan.parts if not self._holds(i)]
        return missing, self.plan.n - sum(len(self.plan.draws(i)) for i in missing)

    def write(self, part: int, x: np.ndarray) -> None:
        """Writes the draws of a part.

        Raises:
            NotWritten: of one line, if the disk does not take them.
        """
        buffer = BytesIO()
        np.save(buffer, x)  # to a file itself, it says of a full disk something else
        with replacing(self.file(part), x.nbytes, f".{os.getpid()}") as file:
            file.write(buffer.getbuffer())

    def finish(self) -> None:
        """Makes the one file of the parts, by one process, which holds one part at a time.

        Raises:
            NotWritten: of one line, if the disk does not take it.
        """
        if not self._is_complete():
            size = self.plan.n * int(np.prod(self.plan.shape)) * self.plan.dtype.itemsize
            with replacing(self.place.path, size) as file:
                (self._write_csv if self.place.is_csv else self._write_npz)(file)
        for path in self.place.work.glob("*.npy"):
            path.unlink()

    def _holds(self, part: int) -> bool:
        file = self.file(part)
        return file.is_file() and len(np.load(file, mmap_mode="r")) == len(self.plan.draws(part))

    def _parts(self) -> Iterator[tuple[range, np.ndarray]]:
        for part in self.plan.parts:
            yield self.plan.draws(part), np.load(self.file(part))

    def _is_complete(self) -> bool:
        """Whether the one file has all n draws."""
        if not self.place.path.is_file():
            return False
        with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
            if self.place.is_csv:
                with self.place.path.open(newline="", encoding="utf-8") as file:
                    return sum(1 for _ in csv.reader(file)) - 1 == self.plan.n
            with zipfile.ZipFile(self.place.path) as archive, archive.open("x.npy") as file:
                return _header(file)[0] == self.plan.n
        return False

    def _parts_of_file(self) -> Iterator[np.ndarray]:
        """What the one file has, PART draws at a time."""
        D, dtype = len(self.plan.columns or ()), self.plan.dtype
        if self.place.is_csv:
            with self.place.path.open(newline="", encoding="utf-8") as file:
                rows = csv.reader(file)
                next(rows)
                while lines := list(islice(rows, PART)):
                    yield np.array([line[:D] for line in lines]).astype(dtype)
            return
        with zipfile.ZipFile(self.place.path) as archive, archive.open("x.npy") as file:
            shape, length = _header(file), int(np.prod(self.plan.shape)) * dtype.itemsize
            for begin in range(0, shape[0], PART):
                content = file.read(min(PART, shape[0] - begin) * length)
                yield np.frombuffer(content, dtype).reshape(-1, *self.plan.shape)

    def _write_npz(self, file: IO[bytes]) -> None:
        # A ZipInfo has no time of day in it: the same draws are the same file.
        with zipfile.ZipFile(file, "w") as archive:
            with archive.open(zipfile.ZipInfo("x.npy"), "w", force_zip64=True) as entry:
                form = {"descr": np.lib.format.dtype_to_descr(self.plan.dtype), "fortran_order": False}
                np.lib.format.write_array_header_1_0(entry, {**form, "shape": (self.plan.n, *self.plan.shape)})
                for _, x in self._parts():
                    entry.write(x.tobytes())
            if self.plan.classes is not None:
                with archive.open(zipfile.ZipInfo("label.npy"), "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, self.plan.labels(range(self.plan.n)))

    def _write_csv(self, file: IO[bytes]) -> None:
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.plan.columns, *(["label"] if self.plan.classes is not None else [])])
        for numbers, x in self._parts():
            # As few digits as lead back to the same number.
            rows, labels = x.astype(str).tolist(), self.plan.labels(numbers)
            writer.writerows(rows if labels is None else [[*r, k] for r, k in zip(rows, labels.tolist(), strict=True)])
        text.detach()


def _header(file: IO[bytes]) -> tuple[int, ...]:
    """The shape of an array in NumPy's format, whose numbers come next."""
    np.lib.format.read_magic(file)
    return np.lib.format.read_array_header_1_0(file)[0]


def remove_work(place: SamplePlace) -> None:
    """Removes the folder beside a file, once nothing is in it."""
    if place.is_file:
        with suppress(OSError):
            place.work.rmdir()
