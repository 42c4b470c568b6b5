"""What a model is about to be trained on: how many examples of what, as an image and in words."""

from collections.abc import Callable

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor

from pmodel.figures.figure import Figure, Scene, need_images
from pmodel.files.printable import printable
from pmodel.plots.grids import columns_for, image_grid, in_rows, side_by_side
from pmodel.settings.ranges import Count, Two

MOST_COUNTS = 10  # of more classes, the smallest and the largest count are said
LONGEST = 30  # letters of a class or a column
WIDTH = 900  # in pixels: a row of larger images holds fewer of them
MOST_COLUMNS = 5  # of points


class DataFigure(Figure):
    """Training examples as the model sees them: images, a row of each class; points as a histogram on the line, a
    scatter in the plane, and the first five columns against each other where there are more. Points are coloured by
    class, and stand in the user's units under the names of their columns.
    """

    of_data = True

    def __init__(self, num_images: Count, num_classes: Two, num_points: Count):
        self.num_images, self.num_classes, self.num_points = num_images, num_classes, num_points

    def draw(self, scene: Scene, model: LightningModule | None = None) -> np.ndarray:
        data = scene.data
        x, label = data.examples("train", self.num_points if len(data.shape) == 1 else self.num_images)
        if x.dim() == 2:
            return self._points(data, x, label)
        need_images(x, "training")
        if (data.labels("train") < 0).all():
            title = f"{len(x):,} training examples as the model sees them ({sizes(data)}; no labels)"
            return side_by_side({title: image_grid(x, columns_for(len(x)))})
        return self._by_class(data, x)

    def _by_class(self, data: LightningDataModule, x: Tensor) -> np.ndarray:
        label = data.labels("train")
        counts, names = counts_by_class(label), class_names(data)
        shown = list(counts)[: self.num_classes]
        columns = max(1, min(self.num_images // len(shown), WIDTH // image_grid(x[:1], 1).shape[1]))
        rows = {}
        for k in shown:
            positions = (label == k).nonzero()[:columns, 0]
            rows[f"{names(k)}: {counts[k]:,}"] = image_grid(data.examples_at("train", positions).x, columns)
        title = f"training examples as the model sees them, by class ({sizes(data)})"
        if len(shown) < len(counts):
            title = f"{title[:-1]}; the first {len(shown)} of {len(counts):,} classes)"
        return side_by_side({title: in_rows(rows, 1)})

    def _points(self, data: LightningDataModule, x: Tensor, label: Tensor) -> np.ndarray:
        x = data.restore(x)
        D = x.shape[1]
        shown = min(D, MOST_COLUMNS)
        default = [f"x{d + 1}" for d in range(D)] if D > 1 else ["x"]
        names = [_short(name) for name in data.column_names or default]
        drawn = "" if len(x) == data.size("train") else f"; {len(x):,} of those for training are drawn"
        columns = "" if shown == D else f"; the first {shown} of {D:,} columns"
        title = f"{sizes(data)}{drawn}{columns}\n{classes(data)}"
        from pmodel.plots.plots import grouped

        name = class_names(data)
        groups = {name(k): x[label == k, :shown].numpy() for k in counts_by_class(label)}
        return grouped(groups, names[:shown], title)


def sizes(data: LightningDataModule) -> str:
    """How many examples each split has, as far as that is known without reading the test split."""
    known = {"training": data.size("train"), "validation": data.size("validation"), "test": data.size("test")}
    parts = [f"{size:,} {split}" for split, size in known.items() if size is not None]
    return f"{', '.join(parts[:-1])}{' and ' * (len(parts) > 1)}{parts[-1]} examples"


def classes(data: LightningDataModule) -> str:
    """How many training examples there are of each class, or of the smallest and the largest one."""
    counts, name = counts_by_class(data.labels("train")), class_names(data)
    missing = counts.pop(-1, 0)
    if not counts:
        return "no labels"
    if len(counts) <= MOST_COUNTS:
        listed = ", ".join(f"{name(k)} ({count:,})" for k, count in counts.items())
    else:
        listed = f"{min(counts.values()):,} to {max(counts.values()):,} examples each"
    without = f", and {missing:,} without a label" if missing else ""
    return f"{len(counts):,} {'class' if len(counts) == 1 else 'classes'}: {listed}{without}"


def counts_by_class(label: Tensor) -> dict[int, int]:
    """How many of the labels (N,) are of each class that occurs, in their order, and last those without one, −1."""
    values, counts = label.unique(return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return found | ({-1: found.pop(-1)} if -1 in found else {})


def class_names(data: LightningDataModule) -> Callable[[int], str]:
    """Gives the name of a class by its number, in one line."""
    names = data.class_names
    return lambda k: "no label" if k < 0 else _short(str(k if names is None else names[k]))


def _short(name: str) -> str:
    """A user's name in one line that leaves room for others."""
    name = printable(name)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def missing_labels(data: LightningDataModule) -> str | None:
    """How many examples have no label and what to do about it; None if all that training reads have one."""
    read = torch.cat([data.labels(split) for split in ("train", "validation")])
    labelled, total = int((read >= 0).sum()), len(read)
    if labelled == total:
        return None
    return (
        f"expected a label of each example, and {labelled:,} of {total:,} for training and validation have one:"
        " label the others, or take them out"
    )
