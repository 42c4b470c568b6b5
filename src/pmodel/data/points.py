"""Points instead of pictures: toy densities on the line and in the plane, and CSV files of the user's."""

import csv
import math
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pmodel.data import mixtures
from pmodel.data.base import SPLITS, InMemoryDataModule, Split
from pmodel.data.keys import mix_key
from pmodel.foreign import regular
from pmodel.ranges import Count, Counts, Seed, Two, Whole

PointSet = Literal["ring", "moons", "grid", "mixture_1d", "csv"]

_MIXTURES = {"ring": mixtures.ring, "grid": mixtures.grid, "mixture_1d": mixtures.mixture_1d}


class Points(InMemoryDataModule):
    """Points (B, D), float32, of a toy density or a CSV file; their label is the component that they are drawn from.

    name: ring, grid (2-D) and mixture_1d: Gaussian mixtures; moons (2-D); csv: the rows of the file `path`
    shape: [D]
    num_levels: null, since points are continuous
    redraw: of no effect: nothing is drawn at a step
    num_train, num_validation, num_test: how many to draw; a CSV file is split 80/10/10 instead, without labels

    Raises:
        ValueError: if a setting is wrong; when the data are first read, if the CSV file is missing or not a table of
            finite numbers, with the line.
    """

    source = "points"
    source_levels = None

    def __init__(
        self,
        name: PointSet,
        shape: Counts,
        num_levels: Two | None = None,
        path: str | None = None,
        batch_size: Count = 128,
        eval_batch_size: Count = 500,
        limit: Count | None = None,
        num_train: Count = 10_000,
        num_validation: Whole = 2_000,
        num_test: Whole = 2_000,
        split_seed: Seed = 0,
        seed: Seed = 0,
        num_classes: Two | None = None,
        redraw: bool = True,
    ) -> None:
        super().__init__(
            shape,
            num_levels,
            batch_size,
            eval_batch_size,
            limit=limit,
            num_validation=num_validation,
            split_seed=split_seed,
            seed=seed,
            num_classes=num_classes,
            redraw=redraw,
        )
        if name not in (*_MIXTURES, "moons", "csv"):
            raise ValueError(f"data.name={name}: expected ring, moons, grid, mixture_1d or csv")
        if (name == "csv") != (path is not None) or path == "":
            raise ValueError(
                f"data.path={'null' if path is None else path}: expected a CSV file with data.name=csv, "
                "and null with another name"
            )
        self.name, self.path = name, path
        self.sizes = dict(zip(SPLITS, (num_train, num_validation, num_test), strict=True))
        for split, size in self.sizes.items():
            if size < (split == "train"):
                raise ValueError(f"data.num_{split}={size}: expected at least {int(split == 'train')}")

    @property
    def num_classes(self) -> int | None:
        if self.name == "csv":
            return None
        return 2 if self.name == "moons" else len(self.mixture.weights)

    @property
    def mixture(self) -> mixtures.GaussianMixture | None:
        """The Gaussian mixture that the points are drawn from; None if they aren't."""
        return _MIXTURES[self.name]() if self.name in _MIXTURES else None

    def log_prob(self, x: Tensor) -> Tensor:
        """The true log-density, nats, (B,), at points x (B, D).

        Raises:
            ValueError: if there is no formula for it.
        """
        if self.mixture is None:
            raise ValueError(f"data.name={self.name}: the true density is known of {', '.join(_MIXTURES)} only")
        return self.mixture.log_prob(x)

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "name": self.name, "path": self.path}

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        if self.name == "csv":
            x = self._table[self._rows(split)]
            label = torch.full((len(x),), -1)
        else:
            # One generator for each split: its points do not change with the sizes of the others.
            generator = torch.Generator().manual_seed(mix_key(self.split_seed, SPLITS.index(split)))
            draw = mixtures.sample_moons if self.name == "moons" else _MIXTURES[self.name]().sample
            x, label = draw(self.sizes[split], generator)
        index = self.kept(split, len(x))
        return x[index], label[index]

    @cached_property
    def _table(self) -> Tensor:
        table = read_table(Path(self.path).expanduser())
        if len(table) < 3:
            raise ValueError(f"data.path={self.path}: {len(table)} rows, expected at least 3, one for each split")
        if table.shape[1:] != self.shape:
            raise ValueError(f"data.shape={list(self.shape)}: expected [{table.shape[1]}], the columns of {self.path}")
        return table

    def _rows(self, split: Split) -> Tensor:
        """Rows of the table that belong to a split: a tenth, and at least one, for validation and for test each."""
        count = len(self._table)
        mixed = torch.randperm(count, generator=torch.Generator().manual_seed(mix_key(self.split_seed)))
        held_out = max(count // 10, 1)
        return dict(zip(SPLITS, mixed.split([count - 2 * held_out, held_out, held_out]), strict=True))[split]


def read_table(path: Path) -> Tensor:
    """The numbers of a CSV file (N, D), float32; a first line without any number is taken for a header.

    Raises:
        ValueError: if there is no such file, or it is no table of numbers that are finite in float32; names the line.
    """
    place = f"data.path={path}"
    try:
        with regular(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except FileNotFoundError:
        raise ValueError(f"{place}: there is no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{place}: can't be read as CSV: {error}") from error
    if rows and all(_number(cell) is None for cell in rows[0][1]):
        del rows[0]
    if not rows:
        raise ValueError(f"{place}: it has no rows of numbers")
    width = len(rows[0][1])
    for line, row in rows:
        if len(row) != width:
            raise ValueError(f"{place}: line {line} has {len(row)} columns, expected {width} as in line {rows[0][0]}")
    table = torch.tensor([[_number(cell, default=math.nan) for cell in row] for _, row in rows], dtype=torch.float32)
    for i, j in (~table.isfinite()).nonzero()[:1].tolist():
        line, cell = rows[i][0], rows[i][1][j].strip()
        where = " in float32" if math.isfinite(_number(cell, default=math.nan)) else ""
        raise ValueError(f"{place}: line {line}: {cell!r} is not a finite number{where}")
    return table


def _number(cell: str, default: float | None = None) -> float | None:
    try:
        return default if "_" in cell else float(cell)  # Python reads 1_000 as a thousand
    except ValueError:
        return default
