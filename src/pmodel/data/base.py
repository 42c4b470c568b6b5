"""What all sources share: splits in memory, batches of them, and what is drawn at random per step."""

from typing import Any, ClassVar, Literal, get_args

import torch
from lightning.pytorch import LightningDataModule
from torch import Generator, Tensor

from pmodel.data import levels
from pmodel.data.batch import NO_KEY, Batch, RawBatch, StepBatch
from pmodel.data.keys import mix_key
from pmodel.data.labels import balanced_subset
from pmodel.data.loader import BatchLoader
from pmodel.ranges import Count, Counts, Fraction, Seed, Two, Whole

Binarization = Literal["none", "static", "dynamic", "threshold"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_ORDER, _DRAWS = 0, 1  # what a generator of the split seed is for
_CHUNK = 4096  # examples; bounds the memory of draws over a whole split


class InMemoryDataModule(LightningDataModule):
    """Fixed splits of examples in memory, as uint8 levels or float32 points, cut into whole batches.

    The splits, their order and every draw of evaluation data (static or dynamic binarization, dequantization) come
    from `split_seed` alone; the order of training and its draws come from `seed` and the position in the run.

    shape: of one example, [C, H, W] or [D]
    num_levels: what a model sees: 2 if binarized, null if continuous, else the source's own number
    batch_size, eval_batch_size: examples over all devices
    binarize: none; static: drawn once; dynamic: in training, drawn anew at each step; threshold: intensity ≥ 1/2
    dequantize: adds uniform noise within each level: continuous data in [0, 1)
    flip: in training, mirrors half of the pictures
    redraw: whether training draws its flips, dynamic binarization and dequantization anew at each step, or once
    limit: keeps the first N examples of each split, null: all
    num_validation: how many of the training examples are set aside for validation; below 1, that share of them
    num_classes: how many classes the labels distinguish, for models that need to know; held against what the source
        knows when its data are read. None: whatever the source says
    num_labels: keeps so many training examples of those that `limit` keeps, of each class as many, to within one;
        drawn from `label_seed` and `split_seed` alone. None: all
    label_seed: draws these; for one seed, fewer labels are a subset of more

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
    # What to try if the loss is none in the first epoch; None: what the model advises.
    advice: str | None = None

    def __init__(
        self,
        shape: Counts,
        num_levels: Two | None,
        batch_size: Count = 128,
        eval_batch_size: Count = 500,
        binarize: Binarization = "none",
        dequantize: bool = False,
        flip: bool = False,
        limit: Count | None = None,
        num_validation: Whole | Fraction = 0,
        split_seed: Seed = 0,
        seed: Seed = 0,
        num_classes: Two | None = None,
        num_labels: Count | None = None,
        label_seed: Seed = 0,
        redraw: bool = True,
    ) -> None:
        super().__init__()
        self.shape, self.num_levels = tuple(shape), num_levels
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.binarize, self.dequantize, self.flip = binarize, dequantize, flip
        self.limit, self.num_validation = limit, num_validation
        self.split_seed, self.seed = split_seed, seed
        self.num_labels, self.label_seed, self.redraw = num_labels, label_seed, redraw
        self._expected_classes = num_classes
        self._check_settings()
        self.notes: list[str] = []
        # Set for a model that takes training batches as levels: uint8, not scaled.
        self.gives_levels = False
        self._splits: dict[Split, tuple[Tensor, Tensor]] = {}
        self._device = torch.device("cpu")
        self._train_loader: BatchLoader | None = None
        self._resume_at: dict[str, Any] | None = None

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """The examples of a split, uint8 levels (N, C, H, W) or float32 points (N, D), and labels (N,) int64, both in
        the order of `kept(split, how many there are)`."""
        raise NotImplementedError

    def restore(self, x: Tensor) -> Tensor:
        """Points (…, D) as a model sees or draws them in the units of the source; pictures are what they were."""
        return x

    @property
    def units(self) -> dict[str, list[float]]:
        """What leads from the model's coordinates to those of the source, where that depends on the examples."""
        return {}

    def keep_units(self, units: dict[str, list[float]]) -> None:
        """Takes those that a model was trained with, whatever the examples are now."""

    def kept(self, split: Split, count: int) -> Tensor:
        """Positions in a split of `count` examples of those that `limit` keeps, in the split's fixed, mixed order."""
        return torch.randperm(count, generator=self._generator(_ORDER, split))[: self.limit]

    def validation_count(self, available: int) -> int:
        """How many of the `available` training examples `num_validation` sets aside for validation.

        Raises:
            ValueError: if that leaves none for training.
        """
        share = self.num_validation < 1
        count = max(round(self.num_validation * available), self.num_validation > 0) if share else self.num_validation
        if not 0 <= count < available:
            raise ValueError(
                f"data.num_validation={self.num_validation}: expected less than the {available} examples there are, "
                "or a share of them below 1"
            )
        return int(count)

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
        """The classes of a split's examples, (N,) int64, −1 where there is none; on the CPU."""
        return self._split(split)[1].cpu()

    def labelled(self) -> tuple[int, int]:
        """How many examples have a label, and how many there are, in the splits that were read."""
        labels = [self.labels(split) for split in self.split_sizes]
        return sum(int((label >= 0).sum()) for label in labels), sum(map(len, labels))

    def protocol(self) -> dict[str, Any]:
        """What a number measured on these data depends on, in plain values."""
        return {
            "data": self.source,
            "shape": list(self.shape),
            "num_levels": self.num_levels,
            "binarize": self.binarize,
            "dequantize": self.dequantize,
            "redraw": self.redraw,
            "limit": self.limit,
            "split_sizes": self.split_sizes,
            "split_seed": self.split_seed,
            **({} if self.num_labels is None else {"num_labels": self.num_labels, "label_seed": self.label_seed}),
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

    def examples_at(self, split: Split, positions: Tensor) -> Batch:
        """The examples of a split at positions (B,), int64, as the model sees them; on the CPU."""
        x, label = (part[positions.to(part.device)].cpu() for part in self._split(split))
        key = mix_key(self.split_seed, _DRAWS, SPLITS.index(split)) if split == "train" else NO_KEY
        return Batch(self._as_seen(RawBatch(x, label, key)), label)

    def keep_on(self, device: torch.device | str) -> None:
        """Moves the splits, and those loaded later, to a device: batches are then cut there, without a transfer."""
        self._device = torch.device(device)
        self._splits = {split: (x.to(device), label.to(device)) for split, (x, label) in self._splits.items()}

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
        if self.gives_levels and batch.key != NO_KEY and not batch.x.is_floating_point() and not self._draws_anew:
            return StepBatch(batch.x, batch.label, batch.first, batch.total)
        return StepBatch(self._as_seen(batch), batch.label, batch.first, batch.total)

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

    def state_dict(self) -> dict[str, Any]:
        """The position in training. Lightning saves that of the loader too, but restores it only within an epoch."""
        return {} if self._train_loader is None else self._train_loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lets the next `train_dataloader` go on from there."""
        self._resume_at = state_dict

    @property
    def _stored_levels(self) -> int:
        """Levels of what is stored, except of training pictures that are binarized anew at each step."""
        return self.source_levels if self.binarize == "none" else 2

    def _generator(self, purpose: int, split: Split) -> Generator:
        return Generator().manual_seed(mix_key(self.split_seed, purpose, SPLITS.index(split)))

    def _split(self, split: Split) -> tuple[Tensor, Tensor]:
        """The stored examples and labels of a split, read when first asked for."""
        if split not in self._splits:
            x, label = self.load(split)
            if x.shape[1:] != self.shape:
                raise ValueError(
                    f"data.shape={list(self.shape)}: the examples of data={self.source} are {list(x.shape[1:])}"
                )
            self._check_num_classes()
            x = self._stored(split, x)
            if split == "train" and self.num_labels is not None:
                # After the static draws: a picture's are the same, however many others have labels.
                chosen = self._labelled(label)
                x, label = x[chosen], label[chosen]
            self._splits[split] = (x.to(self._device), label.to(self._device))
        return self._splits[split]

    def _labelled(self, label: Tensor) -> Tensor:
        """Positions of the `num_labels` training examples that are kept, in the order of the split."""
        try:
            return balanced_subset(label, self.num_classes, self.num_labels, self.label_seed, self.split_seed)
        except ValueError as error:
            raise ValueError(f"data.num_labels={self.num_labels}: {error}") from None

    def _check_num_classes(self) -> None:
        expected = self._expected_classes
        if expected is not None and expected != self.num_classes:
            known = "null, since it has no labels" if self.num_classes is None else f"{self.num_classes}, or null"
            raise ValueError(f"data.num_classes={expected}: expected {known}, with data={self.source}")

    def _stored(self, split: Split, x: Tensor) -> Tensor:
        """The examples with everything applied that is not drawn at each step."""
        if x.is_floating_point():
            return x
        if self.binarize == "threshold":
            return levels.at_least_half(x, self.source_levels)
        generator = self._generator(_DRAWS, split)
        fixed = split != "train" or not self.redraw
        if self.flip and split == "train" and not self.redraw:
            x = levels.flip(x, generator)
        if self.binarize == "static" or (self.binarize == "dynamic" and fixed):
            parts = [levels.draw_binary(part, self.source_levels, generator).byte() for part in x.split(_CHUNK)]
        elif self.dequantize and fixed:
            parts = [levels.dequantize(part, self.source_levels, generator) for part in x.split(_CHUNK)]
        else:
            return x
        return torch.cat(parts)

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

    def _check_settings(self) -> None:
        if self.binarize not in get_args(Binarization):
            raise ValueError(f"data.binarize={self.binarize}: expected one of {', '.join(get_args(Binarization))}")
        if self.dequantize and self.binarize != "none":
            raise ValueError(f"data.dequantize=true: expected data.binarize=none with it, not {self.binarize}")
        expected = 2 if self.binarize != "none" else None if self.dequantize else self.source_levels
        if self.num_levels != expected:
            raise ValueError(
                f"data.num_levels={self.num_levels}: expected {expected} with data={self.source}, "
                f"data.binarize={self.binarize} and data.dequantize={str(self.dequantize).lower()}"
            )
        for name in ("batch_size", "eval_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name}={getattr(self, name)}: expected at least 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"data.limit={self.limit}: expected at least 1, or null for all examples")
        if self.num_labels is not None and self.num_labels < 1:
            raise ValueError(f"data.num_labels={self.num_labels}: expected at least 1, or null for all examples")
