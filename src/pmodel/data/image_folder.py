"""A folder, or a .zip, of the user's own pictures."""

import os
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pmodel.data.base import SPLITS, Binarization, InMemoryDataModule, Split
from pmodel.data.keys import mix_key
from pmodel.data.pictures import read_pictures

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


class _Picture(NamedTuple):
    name: str  # relative to `path`
    label: int


class ImageFolder(InMemoryDataModule):
    """Pictures under `path`, a folder or a .zip, alone or inside one outer folder.

    With folders train/ and test/, and optionally validation/ (or val/), those are the splits. Without validation/,
    `num_validation` of the training pictures are drawn for it; without train/ and test/, as many again for test. The
    draws come from `split_seed`. Inside a split, the folders are the classes, numbered in alphabetical order;
    pictures outside of any have the label -1. Files that are not pictures, by their suffix, are ignored.

    path: the folder or .zip
    shape: [C, H, W]; each picture must have this size, be grey for C = 1 and colour for C = 3
    resize: true cuts pictures of other sizes centrally to the proportions of `shape`, resizes and converts them

    Raises:
        ValueError: if there is no such folder or .zip, or no picture in it; when a split is read, if a picture is
            corrupt or does not fit.
    """

    source = "image_folder"

    def __init__(
        self,
        path: str,
        shape: list[int],
        num_levels: int | None,
        resize: bool = False,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        binarize: Binarization = "none",
        dequantize: bool = False,
        flip: bool = False,
        limit: int | None = None,
        num_validation: int | float = 0.1,
        split_seed: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            shape,
            num_levels,
            batch_size,
            eval_batch_size,
            binarize,
            dequantize,
            flip,
            limit,
            num_validation,
            split_seed,
            seed,
        )
        self.path, self.resize = Path(path).expanduser(), resize
        self._place = f"data.path={path}"

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The class folders of all splits, in alphabetical order; None if there are none."""
        return self._listing[1] or None

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "path": str(self.path), "resize": self.resize}

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        pictures = self._listing[0][split]
        if not pictures and split != "validation":
            raise ValueError(f"{self._place}: it has no pictures for the {split} split")
        pictures = [pictures[i] for i in self.kept(split, len(pictures))]
        label = torch.tensor([picture.label for picture in pictures], dtype=torch.int64)
        names = [picture.name for picture in pictures]
        return read_pictures(names, self._read, self.shape, self.resize, self._place), label

    def _read(self, name: str) -> bytes:
        return self._archive.read(name) if self.path.is_file() else (self.path / name).read_bytes()

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        # Kept open: reading the list of 60,000 files takes half a second.
        return zipfile.ZipFile(self.path)

    @cached_property
    def _listing(self) -> tuple[dict[Split, list[_Picture]], tuple[str, ...]]:
        """The pictures of each split, and the class names."""
        files = self._files()
        names = sorted(name for name in files if name.lower().endswith(SUFFIXES))
        if not names:
            raise ValueError(
                f"{self._place}: there is no picture in it ({', '.join(SUFFIXES)}), only {len(files)} other files"
            )
        parts = _without_outer_folders([tuple(name.split("/")) for name in names])
        has_splits = any(first in _SPLIT_FOLDERS and inner for first, *inner in parts)
        groups: dict[Split | None, list[tuple[str, str | None]]] = {}
        for name, (first, *inner) in zip(names, parts, strict=True):
            folders = inner if has_splits else (first, *inner)
            if folders:
                split = _SPLIT_FOLDERS.get(first) if has_splits else None
                groups.setdefault(split, []).append((name, folders[0] if len(folders) > 1 else None))
        if has_splits:
            groups.pop(None, None)
        classes = sorted({folder for group in groups.values() for _, folder in group if folder is not None})
        number = {folder: i for i, folder in enumerate(classes)}
        pictures = {split: [_Picture(name, number.get(f, -1)) for name, f in group] for split, group in groups.items()}
        return self._drawn_splits(pictures), tuple(classes)

    def _drawn_splits(self, groups: dict[Split | None, list[_Picture]]) -> dict[Split, list[_Picture]]:
        """Completes the splits that have a folder with those that are drawn; None stands for no split folder."""
        splits = {split: groups.get(split, []) for split in SPLITS}
        if None in groups or (splits["train"] and not splits["validation"]):
            pool = groups.get(None) or splits["train"]
            generator = torch.Generator().manual_seed(mix_key(self.split_seed))
            pool = [pool[i] for i in torch.randperm(len(pool), generator=generator)]
            count = self.validation_count(len(pool))
            if None in groups:
                splits["test"], pool = pool[:count], pool[count:]
            splits["validation"], splits["train"] = pool[:count], pool[count:]
        return splits

    def _files(self) -> list[str]:
        """All files under `path`, relative to it, with forward slashes."""
        if self.path.is_dir():
            walk = os.walk(self.path)
            files = [
                Path(folder, name).relative_to(self.path).as_posix() for folder, _, names in walk for name in names
            ]
        elif not self.path.is_file():
            raise ValueError(f"{self._place}: there is no such folder or .zip file")
        elif not zipfile.is_zipfile(self.path):
            raise ValueError(f"{self._place}: expected a folder or a .zip file, and this file is neither")
        else:
            files = [info.filename for info in self._archive.infolist() if not info.is_dir()]
        # macOS adds files of its own, with picture suffixes, to folders and archives.
        return [name for name in files if not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))]


def _without_outer_folders(parts: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drops leading folders that hold everything, unless they are named like a split."""
    while len({first for first, *_ in parts}) == 1 and len(parts[0]) > 1 and parts[0][0] not in _SPLIT_FOLDERS:
        parts = [part[1:] for part in parts]
    return parts
