"""Images that the library `datasets` reads: a data set of the Hugging Face Hub, or a folder on this machine."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pmodel.data.arrays import classes
from pmodel.data.base import ALL, Split, Stored
from pmodel.data.decoded import DecodedImages
from pmodel.data.image_files import version
from pmodel.data.shards import key_of
from pmodel.data.splits import NAMES, complete_splits
from pmodel.files.foreign import regular
from pmodel.files.printable import first_line, printable
from pmodel.settings.ranges import Text


class Row(int):
    """The number of an example, as messages call it."""

    def __str__(self) -> str:
        return f"example {int(self)}"


class HuggingFace(DecodedImages):
    """The images of a data set, with its own splits; those that it has not are drawn, as of `ImageFolder`.

    name: of a data set of the Hub, which is downloaded on first use, or a path: what `save_to_disk` wrote, or a folder
        of .parquet, .arrow or image files
    subset: the name of one of its configurations, where it has several; None: its own default
    image_column: the column of the images; auto: the first one that holds images
    label_column: that of the labels, classes, whole numbers or texts; auto: the first one of classes, or one called
        label; None: there are none

    Raises:
        ValueError: if there is no such data set or column; when a split is read, if an image is corrupt or does not
            fit.
    """

    source = "huggingface"
    download = True  # False: only what is on this machine is read

    def __init__(
        self,
        name: Text,
        subset: Text | None,
        image_column: Literal["auto"] | Text,
        label_column: Literal["auto"] | Text | None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.place, self.name, self.subset = f"data.name={name}", name, subset
        self.image_column, self.label_column = image_column, label_column

    def prepare_data(self) -> None:
        """Downloads what is missing."""
        _ = self._parts

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self._labels[1]

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "name": self.name, "subset": self.subset, "image_column": self._columns[0]}

    def positions(self, split: Split) -> Tensor:
        return self._positions[split]

    def load_all(self) -> Stored:
        return self.images(torch.arange(sum(map(len, self._parts.values()))), ALL)

    def images(self, positions: Tensor, split: str) -> Stored:
        column = self._columns[0]
        ends = torch.tensor([len(part) for part in self._parts.values()]).cumsum(0).tolist()
        chosen = (column, split, self.num_validation, self.limit, self.split_seed)
        settings = (list(self.shape), self.resize, self.background, *chosen)

        def content(row: int) -> bytes:
            number = next(k for k, end in enumerate(ends) if row < end)
            found = self._images_of[number][row - (ends[number - 1] if number else 0)][column]
            return regular(Path(found["path"])).read_bytes() if found["bytes"] is None else found["bytes"]

        rows = [Row(row) for row in positions.tolist()]
        x = self.decoded(rows, content, lambda: key_of(*settings, files=self._versions()))
        return x, self._labels[0][positions]

    def _versions(self) -> list[Any]:
        """What tells the data set from another one of the same name."""
        files = [file["filename"] for part in self._parts.values() for file in part.cache_files]
        return [version(Path(file)) for file in files] or [part._fingerprint for part in self._parts.values()]

    @cached_property
    def _parts(self) -> dict[str, Any]:
        """The data set's own splits, by their names."""
        import datasets

        datasets.disable_progress_bars()
        local = Path(self.name).expanduser()
        if not local.exists() and not self.download:
            raise ValueError(f"{self.place}: not found; type data_dir=… for it to be downloaded there")
        cache = {"cache_dir": str(self.shards_dir.with_name("huggingface"))}
        try:
            if any((local / file).is_file() for file in ("dataset_dict.json", "state.json")):
                found = datasets.load_from_disk(str(local))
            else:
                found = datasets.load_dataset(str(local) if local.exists() else self.name, self.subset, **cache)
        except Exception as error:  # the library raises whatever its own parts raise
            raise ValueError(f"{self.place}: can't be read: {printable(first_line(error))}") from error
        return dict(found) if isinstance(found, dict) else {"train": found}

    @cached_property
    def _columns(self) -> tuple[str, str | None]:
        """The names of the columns of the images and of the labels."""
        import datasets

        features = next(iter(self._parts.values())).features
        known = f"its columns are {', '.join(f'{printable(k)} ({type(v).__name__})' for k, v in features.items())}"
        for typed, name in (("image_column", self.image_column), ("label_column", self.label_column)):
            if name not in (None, "auto", *features):
                raise ValueError(f"data.{typed}={name}: there is no such column in {self.name}; {known}")
        images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
        image = next(iter(images), None) if self.image_column == "auto" else self.image_column
        if image not in images:
            typed = self.place if image is None else f"data.image_column={image}"
            raise ValueError(f"{typed}: expected a column of images; {known}")
        named = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
        named += [name for name in ("label", "labels") if name in features]
        return image, next(iter(named), None) if self.label_column == "auto" else self.label_column

    @cached_property
    def _images_of(self) -> list[Any]:
        """The parts with the images' files as they are."""
        import datasets

        column = self._columns[0]
        return [
            part.select_columns([column]).cast_column(column, datasets.Image(decode=False))
            for part in self._parts.values()
        ]

    @cached_property
    def _labels(self) -> tuple[Tensor, tuple[str, ...] | None]:
        """The classes (N,) of the examples of all parts together, and their names."""
        column, parts = self._columns[1], self._parts.values()
        count = sum(map(len, parts))
        if column is None:
            return torch.full((count,), -1), None
        found = [value for part in parts for value in part.with_format(None)[column]]
        names = getattr(next(iter(parts)).features[column], "names", None)
        if names is None:
            return classes(found, count)
        return torch.tensor([-1 if value is None else value for value in found]), tuple(names)

    @cached_property
    def _positions(self) -> dict[Split, Tensor]:
        """The positions of each split's examples, those of drawn splits in their mixed order."""
        found: dict[Split | None, Tensor] = {}
        begin = 0
        for name, part in self._parts.items():
            rows = torch.arange(begin, begin := begin + len(part))
            split = None if len(self._parts) == 1 else NAMES.get(name.lower())
            if split is not None or len(self._parts) == 1:
                found[split] = rows
        place = f"{self.place}: data.num_validation={self.num_validation}"
        return complete_splits(found, self.validation_count, self.split_seed, place)
