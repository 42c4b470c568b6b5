"""A folder, or a .zip, of the user's own images."""

import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pmodel.data.base import ALL, SPLITS, Split, Stored
from pmodel.data.decoded import DecodedImages
from pmodel.data.image_files import image_suffixes, version
from pmodel.data.shards import key_of
from pmodel.data.splits import NAMES, complete_splits
from pmodel.files.printable import printable
from pmodel.settings.ranges import Text

# Of one image, far more than any has.
MOST_BYTES = 256 * 2**20

_MOST_KINDS = 6  # of files that were left out, that are named

# Systems add files of their own, some with image suffixes, to folders and archives.
_HIDDEN = (".", "__macosx", "thumbs.db", "desktop.ini")

# Of a file that lies in no split folder.
NO_SPLIT = -1


class Listing(NamedTuple):
    """The files in a folder or a .zip.

    names: of the images, (N,), relative to it
    labels: their classes, (N,), int64, −1 where there is none
    splits: the number of the split in whose folder each lies, (N,), or NO_SPLIT
    classes: the class folders
    others: the files that are no images
    """

    names: list[str]
    labels: Tensor
    splits: Tensor
    classes: tuple[str, ...]
    others: list[str]


class ImageFolder(DecodedImages):
    """Images under `path`, a folder or a .zip, alone or inside one outer folder.

    With folders train/ (or training/) and test/ (testing/), and optionally validation/ (val/, valid/, dev/), in any
    case, those are the splits, and hold all images. Without validation/, `num_validation` of the training images
    are drawn for it; without any of them, as many again for test. The draws come from `split_seed`. Inside a split,
    the folders are the classes, numbered in alphabetical order; images outside of any have the label -1. Files that
    Pillow does not read, by their suffix, are left out, which `notes` says, and so are hidden ones.

    path: the folder or .zip; links to folders are followed
    shape: [C, H, W], grey for C = 1 and colour for C = 3

    Raises:
        ValueError: if there is no such folder or .zip, or no image in it, or its split folders are ambiguous; when a
            split is read, if an image is corrupt or does not fit.
    """

    source = "image_folder"

    def __init__(self, path: Text, **common: Any) -> None:
        super().__init__(**common)
        self.place, self.path = f"data.path={path}", Path(path).expanduser()

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The class folders of all splits, in alphabetical order; None if there are none."""
        return self._listing.classes or None

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "path": str(self.path)}

    def positions(self, split: Split) -> Tensor:
        return self._splits_listed[split]

    def load_all(self) -> Stored:
        return self.images(torch.arange(len(self._listing.names)), ALL)

    def names(self) -> list[str]:
        return self._listing.names

    def images(self, positions: Tensor, split: str) -> Stored:
        names = [self._listing.names[i] for i in positions.tolist()]
        settings = (list(self.shape), self.resize, self.background)
        x = self.decoded(names, self._read, lambda: key_of(*settings, files=map(self._version, names)))
        self.notes = [*_left_out(self._listing.others), *self.notes]
        return x, self._listing.labels[positions]

    def _version(self, name: str) -> list[Any]:
        """What tells a file from one that was at its place before."""
        if not self._in_zip:
            return version(self.path / name)
        info = self._archive.getinfo(name)
        return [name, info.file_size, info.CRC]

    def _read(self, name: str) -> bytes:
        """An image file; of more than `MOST_BYTES` nothing is read.

        Raises:
            OSError: if it is larger, or no file.
        """
        in_zip, file = self._in_zip, self.path / name
        if not in_zip and not file.is_file():
            raise OSError("it is no file")  # a pipe would never end
        size = self._archive.getinfo(name).file_size if in_zip else file.stat().st_size
        if size > MOST_BYTES:
            raise OSError(f"it has {size:,} bytes, expected at most {MOST_BYTES:,}")
        return self._archive.read(name) if in_zip else file.read_bytes()

    @cached_property
    def _in_zip(self) -> bool:
        return self.path.is_file()

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        # Kept open: reading the list of 60,000 files takes half a second.
        return zipfile.ZipFile(self.path)

    @cached_property
    def _listing(self) -> "Listing":
        """The files under `path`, sorted by their names.

        Raises:
            ValueError: if none is an image, or split folders are ambiguous.
        """
        files, suffixes = sorted(self._files()), image_suffixes()
        names = [name for name in files if name.lower().endswith(suffixes)]
        others = [name for name in files if not name.lower().endswith(suffixes)]
        if not names:
            raise ValueError(f"{self.place}: there is no image in it" + "".join(f"; {n}" for n in _left_out(others)))
        folder_of = [name.rpartition("/")[0] for name in names]
        # What is below a folder is told by its first file.
        first = dict(zip(reversed(folder_of), reversed(names), strict=True))
        parts = dict(zip(first, _without_outer_folders([tuple(n.split("/")) for n in first.values()]), strict=True))
        split_folders = self._split_folders(list(parts.values()))
        below = {folder: part[1:] if split_folders else part for folder, part in parts.items()}
        class_of = {folder: part[0] if len(part) > 1 else None for folder, part in below.items()}
        classes = tuple(sorted(set(class_of.values()) - {None}))
        number = {name: k for k, name in enumerate(classes)} | {None: -1}
        split_of = {folder: split_folders.get(part[0]) for folder, part in parts.items()}
        labels = torch.tensor([number[class_of[folder]] for folder in folder_of])
        splits = torch.tensor([NO_SPLIT if (split := split_of[f]) is None else SPLITS.index(split) for f in folder_of])
        return Listing(names, labels, splits, classes, others)

    @cached_property
    def _splits_listed(self) -> dict[Split, Tensor]:
        """The places of each split's files in the listing, those of drawn splits in their mixed order.

        Raises:
            ValueError: if that leaves none for training.
        """
        numbers = {NO_SPLIT: None, **dict(enumerate(SPLITS))}
        found = {split: (self._listing.splits == i).nonzero()[:, 0] for i, split in numbers.items()}
        place = f"{self.place}: data.num_validation={self.num_validation}"
        return complete_splits(found, self.validation_count, self.split_seed, place)

    def _split_folders(self, parts: list[tuple[str, ...]]) -> dict[str, Split]:
        """The top folders that are splits; empty if there are none, and then all are classes."""
        folders: dict[str, Split] = {}
        for folder in sorted({part[0] for part in parts if _split_of(part)}):
            split = NAMES[folder.lower()]
            if split in folders.values():
                same = next(other for other in folders if folders[other] == split)
                raise ValueError(f"{self.place}: {same} and {folder} both mean the {split} split, expected one folder")
            folders[folder] = split
        others = sorted({part[0] for part in parts} - folders.keys())
        if folders and others:
            raise ValueError(
                f"{self.place}: {others[0]} lies beside the split folders {', '.join(folders)}, expected all images "
                "inside of those"
            )
        return folders

    def _files(self) -> list[str]:
        """All files under `path`, relative to it, with forward slashes, but for hidden ones."""
        if self.path.is_dir():
            try:
                files = list(_walk(self.path))
            except OSError as error:
                raise ValueError(f"{self.place}: {error.filename} can't be read: {error.strerror}") from error
        elif zipfile.is_zipfile(self.path):
            files = [info.filename for info in self._archive.infolist() if not info.is_dir()]
        else:
            raise ValueError(f"{self.place}: expected a folder or a .zip file")
        return [name for name in files if not any(part.lower().startswith(_HIDDEN) for part in name.split("/"))]


def _walk(root: Path) -> Iterator[str]:
    """The files under a folder, relative to it; links to folders are followed, but not back to where they lie."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = Path(folder).resolve()
        folders[:] = [inner for inner in folders if not real.is_relative_to(Path(folder, inner).resolve())]
        prefix = Path(folder).relative_to(root)
        yield from ((prefix / name).as_posix() for name in names)


def _left_out(names: list[str]) -> list[str]:
    """A line that counts files by their suffix, most frequent first; none where there are no files."""
    kinds = Counter(sorted(PurePosixPath(name).suffix.lower() or "without a suffix" for name in names))
    listed = ", ".join(f"{printable(kind)} ({count:,})" for kind, count in kinds.most_common(_MOST_KINDS))
    return [f"files left out: {len(names):,}, such as {listed}"] if names else []


def _split_of(part: tuple[str, ...]) -> Split | None:
    """The split that a file's top folder is named after."""
    return NAMES.get(part[0].lower()) if len(part) > 1 else None


def _without_outer_folders(parts: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drops leading folders that hold everything, unless they are named like a split and hold no splits."""
    while len({first for first, *_ in parts}) == 1 and len(parts[0]) > 1:
        inner = [part[1:] for part in parts]
        if _split_of(parts[0]) and not all(_split_of(part) for part in inner):
            break
        parts = inner
    return parts
