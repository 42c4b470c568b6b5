"""A folder, or a .zip, of the user's own images."""

import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from pmodel.data.base import SPLITS, Split
from pmodel.data.image_files import Background, ImageReader, image_suffixes
from pmodel.data.images import ImageDataModule
from pmodel.data.keys import mix_key
from pmodel.files.printable import printable
from pmodel.settings.ranges import Text

_SPLIT_FOLDERS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

# Of one image, far more than any has.
MOST_BYTES = 256 * 2**20

_MOST_KINDS = 6  # of files that were left out, that are named

# Systems add files of their own, some with image suffixes, to folders and archives.
_HIDDEN = (".", "__macosx", "thumbs.db", "desktop.ini")

# Its name, relative to `path`, and its class folder.
_ImageFile = tuple[str, str | None]


class ImageFolder(ImageDataModule):
    """Images under `path`, a folder or a .zip, alone or inside one outer folder.

    With folders train/ (or training/) and test/ (testing/), and optionally validation/ (val/, valid/, dev/), in any
    case, those are the splits, and hold all images. Without validation/, `num_validation` of the training images
    are drawn for it; without any of them, as many again for test. The draws come from `split_seed`. Inside a split,
    the folders are the classes, numbered in alphabetical order; images outside of any have the label -1. Files that
    Pillow does not read, by their suffix, are left out, which `notes` says, and so are hidden ones.

    path: the folder or .zip; links to folders are followed
    shape: [C, H, W], grey for C = 1 and colour for C = 3
    resize: cuts images of other sizes centrally to the proportions of `shape`, resizes and converts them; false:
        each image must have this size and mode
    background: what shows where an image is transparent: white, black or a grey level

    Raises:
        ValueError: if there is no such folder or .zip, or no image in it, or its split folders are ambiguous; when a
            split is read, if an image is corrupt or does not fit.
    """

    source = "image_folder"

    def __init__(self, path: Text, resize: bool, background: Background, **common: Any) -> None:
        super().__init__(**common)
        self._place = f"data.path={path}"
        self.path, self.resize, self.background = Path(path).expanduser(), resize, background
        self._reader = ImageReader(self.shape, resize, background, self._place)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The class folders of all splits, in alphabetical order; None if there are none."""
        return self._listing[1] or None

    def size(self, split: Split) -> int | None:
        if split in self.split_sizes:
            return self.split_sizes[split]
        listed = len(self._listing[0][split])
        return listed if self.limit is None else min(listed, self.limit)

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "path": str(self.path), "resize": self.resize, "background": self.background}

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        images = self._listing[0][split]
        if not images and split != "validation":
            raise ValueError(f"{self._place}: it has no images for the {split} split")
        images = [images[i] for i in self.kept(split, len(images))]
        number = {folder: k for k, folder in enumerate(self._listing[1])}
        label = torch.tensor([number.get(folder, -1) for _, folder in images], dtype=torch.int64)
        x = self._reader.read([name for name, _ in images], self._read)
        self.notes = [*_left_out(self._listing[2]), *self._reader.notes]
        return x, label

    def _read(self, name: str) -> bytes:
        """An image file; of more than `MOST_BYTES` nothing is read.

        Raises:
            OSError: if it is larger, or no file.
        """
        in_zip, file = self.path.is_file(), self.path / name
        if not in_zip and not file.is_file():
            raise OSError("it is no file")  # a pipe would never end
        size = self._archive.getinfo(name).file_size if in_zip else file.stat().st_size
        if size > MOST_BYTES:
            raise OSError(f"it has {size:,} bytes, expected at most {MOST_BYTES:,}")
        return self._archive.read(name) if in_zip else file.read_bytes()

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        # Kept open: reading the list of 60,000 files takes half a second.
        return zipfile.ZipFile(self.path)

    @cached_property
    def _listing(self) -> tuple[dict[Split, list[_ImageFile]], tuple[str, ...], list[str]]:
        """The images of each split, the class names, and the files that are no images."""
        files, suffixes = sorted(self._files()), image_suffixes()
        names = [name for name in files if name.lower().endswith(suffixes)]
        others = [name for name in files if not name.lower().endswith(suffixes)]
        if not names:
            raise ValueError(f"{self._place}: there is no image in it" + "".join(f"; {n}" for n in _left_out(others)))
        parts = _without_outer_folders([tuple(name.split("/")) for name in names])
        split_folders = self._split_folders(parts)
        groups: dict[Split | None, list[_ImageFile]] = {}
        for name, part in zip(names, parts, strict=True):
            inner = part[1:] if split_folders else part
            groups.setdefault(split_folders.get(part[0]), []).append((name, inner[0] if len(inner) > 1 else None))
        classes = sorted({folder for group in groups.values() for _, folder in group if folder is not None})
        return self._drawn_splits(groups), tuple(classes), others

    def _split_folders(self, parts: list[tuple[str, ...]]) -> dict[str, Split]:
        """The top folders that are splits; empty if there are none, and then all are classes."""
        folders: dict[str, Split] = {}
        for folder in sorted({part[0] for part in parts if _split_of(part)}):
            split = _SPLIT_FOLDERS[folder.lower()]
            if split in folders.values():
                same = next(other for other in folders if folders[other] == split)
                raise ValueError(f"{self._place}: {same} and {folder} both mean the {split} split, expected one folder")
            folders[folder] = split
        others = sorted({part[0] for part in parts} - folders.keys())
        if folders and others:
            raise ValueError(
                f"{self._place}: {others[0]} lies beside the split folders {', '.join(folders)}, expected all images "
                "inside of those"
            )
        return folders

    def _drawn_splits(self, groups: dict[Split | None, list[_ImageFile]]) -> dict[Split, list[_ImageFile]]:
        """Completes the splits that have a folder with those that are drawn; None stands for no split folder.

        Raises:
            ValueError: if that leaves none for training.
        """
        splits = {split: groups.get(split, []) for split in SPLITS}
        if None in groups or (splits["train"] and not splits["validation"]):
            pool = groups.get(None) or splits["train"]
            generator = torch.Generator().manual_seed(mix_key(self.split_seed))
            pool = [pool[i] for i in torch.randperm(len(pool), generator=generator)]
            count, drawn = self.validation_count(len(pool)), 2 if None in groups else 1
            if drawn * count >= len(pool):
                for_test = " and as many for test" if None in groups else ""
                raise ValueError(
                    f"{self._place}: data.num_validation={self.num_validation} takes {count:,} of {len(pool):,} images"
                    f" for validation{for_test}, expected some that are left for training"
                )
            if None in groups:
                splits["test"], pool = pool[:count], pool[count:]
            splits["validation"], splits["train"] = pool[:count], pool[count:]
        return splits

    def _files(self) -> list[str]:
        """All files under `path`, relative to it, with forward slashes, but for hidden ones."""
        if self.path.is_dir():
            try:
                files = list(_walk(self.path))
            except OSError as error:
                raise ValueError(f"{self._place}: {error.filename} can't be read: {error.strerror}") from error
        elif zipfile.is_zipfile(self.path):
            files = [info.filename for info in self._archive.infolist() if not info.is_dir()]
        else:
            raise ValueError(f"{self._place}: expected a folder or a .zip file")
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
    return _SPLIT_FOLDERS.get(part[0].lower()) if len(part) > 1 else None


def _without_outer_folders(parts: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drops leading folders that hold everything, unless they are named like a split and hold no splits."""
    while len({first for first, *_ in parts}) == 1 and len(parts[0]) > 1:
        inner = [part[1:] for part in parts]
        if _split_of(parts[0]) and not all(_split_of(part) for part in inner):
            break
        parts = inner
    return parts
