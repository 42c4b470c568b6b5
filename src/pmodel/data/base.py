"""What all sources share: splits in memory or on disk, and batches of them."""

from typing import Any, ClassVar, Literal, get_args

import torch
from lightning.pytorch import LightningDataModule
from torch import Generator, Tensor

from pmodel.data.batch import NO_KEY, Batch, RawBatch, StepBatch
from pmodel.data.keys import mix_key
from pmodel.data.loader import BatchLoader
from pmodel.data.shards import Lazily, Shards
from pmodel.settings.checked import check_arguments
from pmodel.settings.ranges import Count, Counts, Seed, Two

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
# Stands for the examples of all splits together.
ALL = "all"
# Examples (N, …), in memory or on disk, and their labels (N,).
Stored = tuple[Tensor | Shards, Tensor]
ORDER, DRAWS = 0, 1  # what a generator of the split seed is for


class InMemoryDataModule(LightningDataModule):
    """Fixed splits of examples, as uint8 levels or float32 points, cut into whole batches.

    The splits, their order and every draw of evaluation data (static or dynamic binarization, dequantization) come
    from `split_seed` alone; the order of training and its draws come from `seed` and the position in the run.

    shape: of one example, [C, H, W] or [D]
    num_levels: what a model sees: 2 if binarized, null if continuous, else the source's own number
    batch_size, eval_batch_size: examples over all devices
    redraw: whether training draws what is random in its examples anew at each step, or once
    limit: keeps the first N examples of each split, null: all
    num_classes: how many classes the labels distinguish, for models that need to know; held against what the source
        knows when its data are read. None: whatever the source says

    A source says how many levels it has, and implements `load`. What it did to the user's files stands in `notes`, a
    line each, once a split is loaded.

    Raises:
        ValueError: if a setting is out of its range, or contradicts another.
    """

    source: ClassVar[str]
    source_levels: ClassVar[int | None] = 256
    class_names: tuple[str, ...] | None = None
    # Of points whose columns have names.
    column_names: tuple[str, ...] | None = None
    # Of points: how far a coordinate of the source moves where the model's moves by 1, (D,), float64; and what a
    # log-density in the model's coordinates is above that in the source's, in nats: the sum of the logarithms.
    scale: Tensor | float = 1.0
    log_volume: float = 0.0
    # What to try if the loss is NaN in the first epoch; None: what the model advises.
    advice: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_arguments(cls, "data")

    def __init__(
        self,
        shape: Counts,
        num_levels: Two | None,
        batch_size: Count,
        eval_batch_size: Count,
        limit: Count | None,
        split_seed: Seed,
        seed: Seed,
        num_classes: Two | None,
        redraw: bool,
    ) -> None:
        super().__init__()
        self.shape, self.num_levels = tuple(shape), num_levels
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.limit, self.split_seed, self.seed, self.redraw = limit, split_seed, seed, redraw
        self._expected_classes = num_classes
        self.notes: list[str] = []
        self._splits: dict[Split, Stored] = {}
        self._train_loader: BatchLoader | None = None
        self._resume_at: dict[str, Any] | None = None

    def load(self, split: Split) -> Stored:
        """The examples of a split, uint8 levels (N, C, H, W) or float32 points (N, D), in memory or in shards, and
        labels (N,) int64, both in the order of `kept(split, how many there are)`."""
        raise NotImplementedError

    def load_all(self) -> Stored:
        """The examples of all splits, in the order of the source where it has one, else one split after the other."""
        x, label = zip(*(self.load(split) for split in SPLITS), strict=True)
        return torch.cat(x), torch.cat(label)

    def names(self) -> list[str] | None:
        """What the source calls each of `load_all`, such as its file; None: they are counted from 0."""
        return None

    def restore(self, x: Tensor) -> Tensor:
        """Points (…, D) as a model sees or draws them in the units of the source; images are what they were."""
        return x

    @property
    def units(self) -> dict[str, list[float]]:
        """What leads from the model's coordinates to those of the source, where that depends on the examples."""
        return {}

    def keep_units(self, units: dict[str, list[float]]) -> None:
        """Takes those that a model was trained with, whatever the examples are now."""

    def hold_those_of(self, other: Any) -> None:
        """Takes the examples that another module of the same settings was handed; most sources find theirs."""

    def kept(self, split: Split, count: int) -> Tensor:
        """Positions in a split of `count` examples of those that `limit` keeps, in the split's fixed, mixed order."""
        return torch.randperm(count, generator=self.generator_for(ORDER, split))[: self.limit]

    @property
    def num_classes(self) -> int | None:
        """How many classes the labels distinguish; None where there are no labels."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def split_sizes(self) -> dict[str, int]:
        """The number of examples of each split that has been loaded."""
        return {split: len(self._splits[split][0]) for split in SPLITS if split in self._splits}

    def size(self, split: Split) -> int | None:
        """The number of examples of a split; None if it is not known before the split is read."""
        return self.split_sizes.get(split)

    def labels(self, split: Split) -> Tensor:
        """The classes of a split's examples, (N,) int64, −1 where there is none."""
        return self._split(split)[1]

    def protocol(self) -> dict[str, Any]:
        """What a number measured on these data depends on, in plain values."""
        return {
            "data": self.source,
            "shape": list(self.shape),
            "num_levels": self.num_levels,
            "redraw": self.redraw,
            "limit": self.limit,
            "split_sizes": self.split_sizes,
            "split_seed": self.split_seed,
        }

    def __str__(self) -> str:
        """Lightning's own asks every loader for what ours has not."""
        return f"{type(self).__name__}(shape={list(self.shape)}, num_levels={self.num_levels}, {self.split_sizes})"

    def examples(self, split: Split, n: int, seed: int | None = None) -> Batch:
        """The first n examples of a split (all, if it has fewer), always the same, as the model sees them; on the CPU.

        With a seed, n examples drawn by it at random, without replacement.

        Raises:
            ValueError: if there is no such split.
        """
        if split not in SPLITS:
            raise ValueError(f"split={split}: expected one of {', '.join(SPLITS)}")
        size = len(self._split(split)[0])
        if seed is None:
            return self.examples_at(split, torch.arange(min(n, size)))
        generator = Generator().manual_seed(mix_key(seed, SPLITS.index(split)))
        return self.examples_at(split, torch.randperm(size, generator=generator)[:n])

    def lazily(self, split: Split, n: int) -> tuple[Lazily | Tensor, Tensor]:
        """What `examples` gives of the first n, and their labels; what nothing is drawn of is computed where it is
        needed, part by part."""
        if split == "train" and self._draws_anew:
            return self.examples(split, n)
        x, label = self._split(split)
        return Lazily(x, self.seen)[:n], label[:n]

    def examples_at(self, split: Split, positions: Tensor) -> Batch:
        """The examples of a split at positions (B,), int64, as the model sees them; on the CPU."""
        x, label = (part[positions] for part in self._split(split))
        key = mix_key(self.split_seed, DRAWS, SPLITS.index(split)) if split == "train" else NO_KEY
        return Batch(self._as_seen(RawBatch(x, label, key)), label)

    def setup(self, stage: str | None = None) -> None:
        """Loads what a stage (fit, validate, test) reads; the test split for `test` alone."""
        needed = {"fit": ("train", "validation"), "validate": ("validation",), "test": ("test",)}
        for split in needed.get(stage, ()):
            self._split(split)

    def train_dataloader(self) -> BatchLoader:
        """Batches in an order drawn from `seed` for each epoch; goes on where a resumed run stopped."""
        loader = self._loader("train", self.batch_size)
        if self.trainer is not None and self.trainer.limit_train_batches is not None:
            loader.limit_epoch(self.trainer.limit_train_batches)
        if self._resume_at is not None:
            loader.load_state_dict(self._resume_at)
            self._resume_at = None
        self._train_loader = loader
        return loader

    def val_dataloader(self) -> BatchLoader | list:
        """The validation split in its fixed order; an empty list where there is none."""
        return self._loader("validation", self.eval_batch_size) if len(self._split("validation")[0]) else []

    def test_dataloader(self) -> BatchLoader:
        """The test split in its fixed order."""
        return self._loader("test", self.eval_batch_size)

    def transfer_batch_to_device(self, batch: RawBatch, device: torch.device, dataloader_idx: int) -> RawBatch:
        """The batch on the device; Lightning's own way searches every batch for tensors."""
        return batch._replace(x=batch.x.to(device), label=batch.label.to(device))

    def on_after_batch_transfer(self, batch: RawBatch, dataloader_idx: int = 0) -> StepBatch:
        """What the model sees of a stored batch, on the batch's device, drawn from its key and its place alone."""
        return StepBatch(self._as_seen(batch), batch.label, batch.first, batch.total)

    @property
    def _draws_anew(self) -> bool:
        """Whether something is drawn at each step of training."""
        return False

    def _as_seen(self, batch: RawBatch) -> Tensor:
        """What a model sees of stored examples."""
        return batch.x

    def state_dict(self) -> dict[str, Any]:
        """The position in training. Lightning saves that of the loader too, but restores it only within an epoch."""
        return {} if self._train_loader is None else self._train_loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lets the next `train_dataloader` go on from there."""
        self._resume_at = state_dict

    def generator_for(self, purpose: int, split: Split) -> Generator:
        return Generator().manual_seed(mix_key(self.split_seed, purpose, (*SPLITS, ALL).index(split)))

    def stored(self, split: Split) -> Stored:
        """The examples of a split, or of `ALL`, as they are stored, and their labels."""
        return self._split(split)

    def seen(self, x: Tensor) -> Tensor:
        """What a model sees of stored examples (B, …) of any split but that for training."""
        return self._as_seen(RawBatch(x, torch.zeros(0), NO_KEY))

    def _split(self, split: Split) -> Stored:
        """The stored examples and labels of a split, read when first asked for."""
        if split not in self._splits:
            x, label = self.load_all() if split == ALL else self.load(split)
            if x.shape[1:] != self.shape:
                raise ValueError(
                    f"data.shape={list(self.shape)}: the examples of data={self.source} are {list(x.shape[1:])}"
                )
            expected = self._expected_classes
            if expected not in (None, self.num_classes):
                known = "null, since it has no labels" if self.num_classes is None else f"{self.num_classes}, or null"
                raise ValueError(f"data.num_classes={expected}: expected {known}, with data={self.source}")
            self._splits[split] = self._stored(split, x, label)
        return self._splits[split]

    def _stored(self, split: Split, x: Tensor | Shards, label: Tensor) -> Stored:
        """The examples and labels that are kept of a split, with everything applied that is not drawn at each step."""
        return x, label

    def _loader(self, split: Split, batch_size: int) -> BatchLoader:
        x, label = self._split(split)
        rank, world_size = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        if batch_size < world_size:
            name = "batch_size" if split == "train" else "eval_batch_size"
            raise ValueError(
                f"data.{name}={batch_size}: expected at least one example for each of {world_size} devices"
            )
        if len(x) < world_size:
            raise ValueError(
                f"data={self.source}: {len(x)} {split} examples, expected one for each of the devices, {world_size}"
            )
        shuffle = split == "train"
        overfit = self.trainer is not None and self.trainer.overfit_batches > 0
        return BatchLoader(x, label, batch_size, shuffle, self.seed, rank, world_size, reshuffle=not overfit)
