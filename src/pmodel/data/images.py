"""What all sources of images share: binarization, dequantization and flips, and how many examples have labels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from pmodel.data import levels
from pmodel.data.base import DRAWS, InMemoryDataModule, Split, Stored
from pmodel.data.batch import NO_KEY, Levels, RawBatch, StepBatch
from pmodel.data.labels import balanced_subset
from pmodel.data.shards import Rows, Shards, in_memory, in_sequence, key_of, written
from pmodel.files.printable import shown
from pmodel.settings.ranges import Count, Fraction, Seed, Whole

Binarization = Literal["none", "static", "dynamic", "threshold"]
# auto: images of a split that take up to IN_MEMORY_BYTES in memory, others on disk.
Storage = Literal["auto", "memory", "disk"]
IN_MEMORY_BYTES = 2**28
# The folder of all shards, below data_dir.
SHARDS = "shards"
_CHUNK = 4096  # examples; bounds the memory of draws over a whole split


class ImageDataModule(InMemoryDataModule):
    """Images (B, C, H, W) on levels, which a model sees in [0, 1].

    binarize: none; static: drawn once; dynamic: in training, drawn anew at each step; threshold: intensity ≥ 1/2
    dequantize: adds uniform noise within each level: continuous data in [0, 1)
    flip: in training, mirrors half of the images
    num_validation: how many of the training examples are set aside for validation; below 1, that share of them
    num_labels: keeps so many training examples of those that `limit` keeps, of each class as many, to within one;
        drawn from `label_seed` and `split_seed` alone. None: all
    label_seed: draws these; for one seed, fewer labels are a subset of more

    Raises:
        ValueError: if a setting is out of its range, or contradicts another.
    """

    source_levels: ClassVar[int] = 256
    # Of sources whose images may be too many for the memory: where they are held, and where shards of them lie.
    storage: Storage = "memory"
    shards_dir = Path("data", SHARDS)

    def __init__(
        self,
        binarize: Binarization,
        dequantize: bool,
        flip: bool,
        num_validation: Whole | Fraction,
        num_labels: Count | None,
        label_seed: Seed,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.binarize, self.dequantize, self.flip = binarize, dequantize, flip
        self.num_validation, self.num_labels, self.label_seed = num_validation, num_labels, label_seed
        if dequantize and binarize != "none":
            raise ValueError(f"data.dequantize=true: expected data.binarize=none with it, not {binarize}")
        expected = 2 if binarize != "none" else None if dequantize else self.source_levels
        if self.num_levels != expected:
            raise ValueError(
                f"data.num_levels={self.num_levels}: expected {expected} with data={self.source}, "
                f"data.binarize={binarize} and data.dequantize={str(dequantize).lower()}"
            )

    def validation_count(self, available: int) -> int:
        """How many of the `available` training examples `num_validation` sets aside for validation."""
        if self.num_validation >= 1:
            return int(self.num_validation)
        return int(max(round(self.num_validation * available), self.num_validation > 0))

    def carved(self, split: Split, x: Tensor, label: Tensor, num_test: int) -> tuple[Tensor, Tensor]:
        """The kept examples of a split of x (N, …) and label (N,): the last `num_test` are for test, `num_validation`
        before them for validation.

        Raises:
            ValueError: if that leaves none for training.
        """
        available = len(x) - num_test
        count = self.validation_count(available)
        if 0 < available <= count:
            raise ValueError(
                f"data.num_validation={self.num_validation}: expected less than the {available} examples there are, "
                "or a share of them below 1"
            )
        cut = available - count
        first, last = {"train": (0, cut), "validation": (cut, available), "test": (available, len(x))}[split]
        rows = first + self.kept(split, last - first)
        return x[rows], label[rows]

    def hold_those_of(self, other: "ImageDataModule") -> None:
        self.shards_dir = other.shards_dir

    def protocol(self) -> dict[str, Any]:
        labels = {} if self.num_labels is None else {"num_labels": self.num_labels, "label_seed": self.label_seed}
        return {**super().protocol(), "binarize": self.binarize, "dequantize": self.dequantize, **labels}

    def on_after_batch_transfer(self, batch: RawBatch, dataloader_idx: int = 0) -> StepBatch:
        if batch.x.is_floating_point() or (batch.key != NO_KEY and self._draws_anew):
            return super().on_after_batch_transfer(batch, dataloader_idx)
        return StepBatch(None, batch.label, batch.first, batch.total, Levels(batch.x, self._stored_levels))

    @property
    def _draws_anew(self) -> bool:
        """Whether something is drawn at each step of training."""
        return self.redraw and (self.flip or self.dequantize or self.binarize == "dynamic")

    def _as_seen(self, batch: RawBatch) -> Tensor:
        x, _, key, *place = batch
        if x.is_floating_point():
            return x
        if key == NO_KEY or not self._draws_anew:
            return levels.intensity(x, self._stored_levels)
        generator = torch.Generator(x.device).manual_seed(key)
        if self.flip:
            x = levels.flip(x, generator, *place)
        if self.binarize == "dynamic":
            return levels.draw_binary(x, self.source_levels, generator, *place).float()
        if self.dequantize:
            return levels.dequantize(x, self.source_levels, generator, *place)
        return levels.intensity(x, self._stored_levels)

    @property
    def _stored_levels(self) -> int:
        """Levels of what is stored, except of training images that are binarized anew at each step."""
        return self.source_levels if self.binarize == "none" else 2

    def _stored(self, split: Split, x: Tensor | Shards, label: Tensor) -> Stored:
        x = self._drawn_once(split, x)
        if split != "train" or self.num_labels is None:
            return x, label
        # After the static draws: an image's are the same, however many others have labels.
        try:
            chosen = balanced_subset(label, self.num_classes, self.num_labels, self.label_seed, self.split_seed)
        except ValueError as error:
            raise ValueError(f"data.num_labels={self.num_labels}: {error}") from None
        return x.select(chosen) if isinstance(x, Shards) else x[chosen], label[chosen]

    def _drawn_once(self, split: Split, x: Tensor | Shards) -> Tensor | Shards:
        """The images with everything applied that is not drawn at each step."""
        fixed = split != "train" or not self.redraw
        mirrors = self.flip and split == "train" and not self.redraw
        binarizes = self.binarize in ("static", "threshold") or (self.binarize == "dynamic" and fixed)
        dequantizes = self.dequantize and fixed
        if not (mirrors or binarizes or dequantizes):
            return x

        def drawn(part: Tensor, generator: Generator) -> Tensor:
            if self.binarize == "threshold":
                return levels.at_least_half(part, self.source_levels)
            if binarizes:
                return levels.draw_binary(part, self.source_levels, generator).byte()
            return levels.dequantize(part, self.source_levels, generator) if dequantizes else part

        def parts() -> Iterator[Tensor]:
            generator = self.generator_for(DRAWS, split)
            turned = levels.mirrored(len(x), generator).split(_CHUNK) if mirrors else None
            for i, part in enumerate(x.split(_CHUNK)):
                yield drawn(part if turned is None else torch.where(turned[i], part.flip(-1), part), generator)

        if isinstance(x, Tensor):
            return torch.cat(list(parts()))
        rows = Rows(tuple(x.shape), np.float32 if dequantizes else np.uint8, in_sequence(parts))
        settings = (x.key, split, self.binarize, dequantizes, mirrors, self.source_levels, self.split_seed)
        return self.held(rows, lambda: key_of(*settings), f"drawing {split} images once")[0]

    def held(self, rows: Rows, key: Callable[[], str], what: str) -> tuple[Tensor | Shards, list[Any]]:
        """Images in memory, or in shards, as `storage` says, and what was noted while they were read.

        key: what the shards depend on, see `key_of`; asked only for shards
        what: is done, for the bar
        """
        if rows.shape[0] == 0 or not self.on_disk(rows.shape[0] * rows.bytes_of_one):
            return in_memory(rows, what)
        return written(rows, self.shards_dir, key(), f"{what}, into {shown(self.shards_dir)}")

    def on_disk(self, num_bytes: int) -> bool:
        """Whether so many bytes are held on disk."""
        return self.storage == "disk" or (self.storage == "auto" and num_bytes > IN_MEMORY_BYTES)
