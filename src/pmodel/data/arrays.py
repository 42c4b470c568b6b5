"""Examples that are handed over in Python: arrays, tensors, data sets and loaders of PyTorch."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from pmodel.data.base import ORDER, Split
from pmodel.data.images import ImageDataModule
from pmodel.settings.ranges import Text, Two

EXPECTED = (
    "expected an array or a tensor of points (N, D) or of images (N, C, H, W) or (N, H, W), a pair (x, labels), a"
    " Dataset or a DataLoader of these"
)


ROUNDED = "values are rounded to the nearest of 256 levels"


class Examples(NamedTuple):
    """What was handed over, as it is stored.

    x: images (N, C, H, W), uint8 levels, or points (N, D), float32
    label: classes (N,), int64, −1 where there is none
    class_names: of the labels 0, 1, …; None without labels
    num_levels: of the images; None: points
    batch_size: that of a DataLoader; None: of anything else
    notes: what was done to them, a line each
    """

    x: Tensor
    label: Tensor
    class_names: tuple[str, ...] | None
    num_levels: int | None
    batch_size: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The first 12 hexadecimal digits of a hash of all of it."""
        parts = (self.x.numpy().tobytes(), self.label.numpy().tobytes(), str((*self.x.shape, self.num_levels)).encode())
        return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


class Arrays(ImageDataModule):
    """Examples that were handed to `pmodel.fit` or `pmodel.build`, in a fixed, mixed order: the last tenth for test,
    `num_validation` before them for validation.

    They are in no file: whoever opens a run on them hands them over again, see `hold`.

    sha256: the beginning of their hash, to know them again
    source_levels: how many values a sub-pixel of the images has; None: they are points

    Raises:
        ValueError: if a setting is out of its range, or contradicts another; if nothing was handed over when a split is
            read.
    """

    source = "arrays"

    def __init__(self, sha256: Text, source_levels: Two | None, **common: Any) -> None:
        self.source_levels = source_levels
        super().__init__(**common)
        self.sha256 = sha256
        self._held: Examples | None = None
        if source_levels is None and (self.binarize != "none" or self.dequantize or self.flip):
            raise ValueError("data.binarize, data.dequantize and data.flip are for images; the data are points (N, D)")

    def hold(self, examples: Examples) -> None:
        """Takes the examples themselves.

        Raises:
            ValueError: of one line, if they are others than those of the settings.
        """
        if examples.sha256 != self.sha256:
            raise ValueError(
                f"data: these are not the examples of the run: their hash is {examples.sha256}, not {self.sha256}"
            )
        self._held, self.class_names, self.notes = examples, examples.class_names, list(examples.notes)

    def hold_those_of(self, other: "Arrays") -> None:
        super().hold_those_of(other)
        if other._held is not None:
            self.hold(other._held)

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "sha256": self.sha256}

    def load_all(self) -> tuple[Tensor, Tensor]:
        return self._examples.x, self._examples.label

    @property
    def _examples(self) -> Examples:
        if self._held is None:
            raise ValueError(
                "data=arrays: the examples were handed over in Python, where alone they can be handed over again:"
                " pmodel.open_run(…, data=…)"
            )
        return self._held

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        x, label = self.load_all()
        mixed = torch.randperm(len(x), generator=self.generator_for(ORDER, "train"))
        return self.carved(split, x[mixed], label[mixed], num_test=tenth(len(x)))


def tenth(count: int) -> int:
    """How many of the examples are for test, and as many for validation: at least one."""
    return max(count // 10, 1)


def examples_of(given: Any) -> Examples:
    """What `pmodel.fit` is handed, as it is stored.

    - an array, or a tensor, of points (N, D), or of images (N, C, H, W) or (N, H, W): floats in [0, 1], bytes or bools;
      floats are rounded to 256 levels
    - a pair (x, labels): whole numbers, −1 where there is none, or texts
    - a Dataset of PyTorch, whose items are x or pairs (x, label), and is read to its end
    - a DataLoader: its data set, in the order of that, as its `collate_fn` makes it; and its batch size

    Raises:
        ValueError: of one line, for anything else.
    """
    batch_size = None
    if isinstance(given, DataLoader):
        batch_size, given = given.batch_size, _read(given)
    elif isinstance(given, Dataset):
        given = _read(DataLoader(given, batch_size=256))
    x, labels = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    x = _tensor(x, "data")
    if len(x) < 3:
        raise ValueError(f"data: {len(x)} examples, expected at least 3, one for each split")
    label, names = (torch.full((len(x),), -1), None) if labels is None else classes(labels, len(x))
    if x.dim() == 2:
        return Examples(as_points(x), label, names, None, batch_size)
    x, num_levels, notes = _levels(_channels_first(x))
    return Examples(x, label, names, num_levels, batch_size, notes)


def _read(loader: DataLoader) -> Any:
    """All that a loader's data set holds, in its own order: x, or a pair (x, label)."""
    if not isinstance(loader.dataset, IterableDataset):
        if type(loader.sampler) not in (RandomSampler, SequentialSampler):
            raise ValueError(
                f"data: expected a DataLoader without a sampler of its own, not {type(loader.sampler).__name__};"
                " torch.utils.data.Subset chooses examples"
            )
        loader = DataLoader(loader.dataset, batch_size=loader.batch_size or 1, collate_fn=loader.collate_fn)
    try:
        batches = [tuple(batch) if isinstance(batch, list | tuple) else (batch,) for batch in loader]
        parts = [torch.cat(part) for part in zip(*batches, strict=True)]
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"data: the items of {type(loader.dataset).__name__} can't be stacked: {reason}") from None
    if not 1 <= len(parts) <= 2:
        raise ValueError(f"data: items of {len(parts)} parts; expected x or pairs (x, label)")
    return parts[0] if len(parts) == 1 else tuple(parts)


def _tensor(x: Any, place: str) -> Tensor:
    """A tensor of numbers on the CPU, without gradients; nobody else's memory."""
    if not (isinstance(x, Tensor) or hasattr(x, "__array__")):
        raise ValueError(f"{place}={str(x)[:60] if isinstance(x, str) else type(x).__name__}: {EXPECTED}")
    try:
        tensor = x.detach().cpu() if isinstance(x, Tensor) else torch.from_numpy(np.array(x))
    except TypeError:
        raise ValueError(f"{place}: expected numbers, not {np.asarray(x).dtype}") from None
    if tensor.is_complex() or tensor.dim() not in (2, 3, 4) or 0 in tensor.shape[1:]:
        raise ValueError(f"{place}: {list(tensor.shape)} of {tensor.dtype}: {EXPECTED}")
    return tensor.clone()


def as_points(x: Tensor) -> Tensor:
    """Points (N, D), float32.

    Raises:
        ValueError: of one line, if one is not finite.
    """
    points = x.float()
    refuse_not_finite(points)
    return points


def refuse_not_finite(x: Tensor) -> None:
    """Raises ValueError if an example (N, …) has a value that is NaN or infinite."""
    if x.is_floating_point() and not (finite := x.isfinite()).all():
        row = int((~finite.flatten(1).all(1)).nonzero()[0])
        raise ValueError(f"data: example {row} has a value that is NaN or infinite in float32")


def _channels_first(x: Tensor) -> Tensor:
    """(N, C, H, W)"""
    if x.dim() == 3:
        return x[:, None]
    if x.shape[1] > 4 and x.shape[3] in (1, 3, 4):
        raise ValueError(
            f"data: {list(x.shape)}: expected (N, C, H, W); x.transpose(0, 3, 1, 2) of an array makes it so"
        )
    return x


def _levels(x: Tensor) -> tuple[Tensor, int, tuple[str, ...]]:
    """Images as uint8 levels, how many levels there are, and what was done."""
    refuse_not_finite(x)
    num_levels = levels_found(x)
    levels, moved = as_levels(x, num_levels)
    return levels, num_levels, (ROUNDED,) if moved else ()


def levels_found(x: Tensor) -> int:
    """How many levels there are: two if all values are 0 or 1, else 256."""
    return 2 if x.dtype == torch.bool or bool(((x == 0) | (x == 1)).all()) else 256


def as_levels(x: Tensor, num_levels: int) -> tuple[Tensor, bool]:
    """Images (N, …) as uint8 levels: floats in [0, 1] are rounded to the nearest; and whether that moved one.

    Raises:
        ValueError: of one line, for other values.
    """
    if x.dtype == torch.bool:
        return x.byte(), False
    least, most = x.min().item(), x.max().item()
    largest = 1 if x.is_floating_point() else num_levels - 1
    if least < 0 or most > largest:
        hint = f"; x / {255 if most > 100 else most:g} is" if least >= 0 and 1 < most <= 255 and largest == 1 else ""
        expected = "floats in [0, 1]" if x.is_floating_point() else f"bytes from 0 to {largest}"
        raise ValueError(f"data: images with values from {least:.6g} to {most:.6g}: expected {expected}{hint}")
    if not x.is_floating_point():
        return x.byte(), False
    scaled = (num_levels - 1) * x.double()
    return scaled.round().byte(), bool((scaled - scaled.round()).abs().max() > 1e-3)


def classes(labels: Any, count: int) -> tuple[Tensor, tuple[str, ...]]:
    """Labels as numbers of classes, (N,) int64, and the names of these."""
    labels = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(f"data: labels of the shape {list(labels.shape)}: expected [{count}], one for each example")
    numeric = labels.dtype.kind in "iub"
    if not numeric and labels.dtype.kind not in "UO":
        raise ValueError(f"data: labels of {labels.dtype}: expected whole numbers, −1 where there is none, or texts")
    present = labels >= 0 if numeric else np.array([label is not None for label in labels])
    if numeric and (labels < -1).any():
        raise ValueError(f"data: a label of {labels.min()}: expected whole numbers from 0, or −1 where there is none")
    known = labels[present] if numeric else labels[present].astype(str)
    values, numbers = np.unique(known, return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"data: labels of {len(values)} classes: expected at least 2; without labels, hand in x alone")
    label = torch.full((count,), -1)
    label[torch.from_numpy(present)] = torch.from_numpy(numbers)
    return label, tuple(map(str, values))


def settings_of(examples: Examples) -> dict[str, Any]:
    """The settings of `Arrays` that follow from the examples; the others are those of any images."""
    levels = "null" if examples.num_levels is None else examples.num_levels
    shape: Sequence[int] = examples.x.shape[1:]
    given = {} if examples.batch_size is None else {"batch_size": examples.batch_size}
    return given | {
        "_target_": f"{Arrays.__module__}.{Arrays.__qualname__}",
        "shape": list(shape),
        "num_classes": examples.class_names and len(examples.class_names),
        "num_levels": f"${{num_levels:${{data.binarize}},${{data.dequantize}},{levels}}}",
        "num_validation": tenth(len(examples.x)),
        "sha256": examples.sha256,
        "source_levels": examples.num_levels,
    }
