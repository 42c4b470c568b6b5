"""Tables of the user's: the columns of a CSV file, or of one of Parquet, as points, in units that float32 can hold."""

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pmodel.data.base import SPLITS, InMemoryDataModule, Split
from pmodel.data.csv_cells import label_in
from pmodel.data.keys import mix_key
from pmodel.data.table_layout import Column, Columns, Header, Layout, Rows
from pmodel.data.tables import class_names, layout, read_rows
from pmodel.settings.ranges import Text

# How far rounding to float32 may move a value, in standard deviations of its column, before an origin is taken off.
MOST_MOVED = 2**-18
# The share of a column's different values that may become one with another in float32; 2^24 numbers are all that it
# can tell apart between 1 and 2.
MOST_LOST, MOST_VALUES = 0.01, 2**24


class Table(InMemoryDataModule):
    """The rows of a file, CSV or Parquet, as points (B, D), float32, split 80/10/10; labels where a column has them.

    A model sees x = (u − origin) / scale of the file's u, both of them float64, one for each column, and computed from
    the training rows. Without `standardize` scale is 1, and origin is 0 except for a column whose values float32 would
    round too far (see `origin_of`); with it, they are the mean and the standard deviation. `restore` leads back, and
    a log-density of x less `log_volume` is one of u.

    path: the file: .parquet, .pq, or else CSV, with commas, semicolons or tabs between its columns
    header: of CSV, whether the first line holds names; auto: if it has no number, or is 0 … D − 1 or 1 … D
    columns: by their names, or their numbers from 1: those to learn from; null: all but an index and the labels
    label_column: likewise, that of the labels, numbers or texts; null: there are none
    standardize: each column by the mean and the standard deviation of its training rows

    Raises:
        ValueError: if a setting is wrong; when the data are first read, if the file is no table of numbers that are
            finite in float32, with the line and the column, or float32 can't tell a column's values apart.
    """

    source = "table"
    source_levels = None

    def __init__(
        self,
        path: Text,
        header: Header,
        columns: Columns | None,
        label_column: Column | None,
        standardize: bool,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.path, self.header, self.columns, self.label_column = path, header, columns, label_column
        self.standardize = standardize

    @cached_property
    def layout(self) -> Layout:
        """What the columns of the file are."""
        return layout(self.path, self.header, self.columns, self.label_column)

    @property
    def column_names(self) -> tuple[str, ...]:
        return self.layout.names

    @cached_property
    def class_names(self) -> tuple[str, ...] | None:
        return None if self._rows.labels is None else class_names(self.layout, self._rows.labels)

    def _notes(self) -> list[str]:
        notes = [*self.layout.notes, *self._rows.notes]
        missing = int((self._labels < 0).sum())
        if missing and self.label_column is not None:
            notes.append(
                f"data.label_column={self.label_column}: {missing:,} of {len(self._labels):,} rows have no label"
            )
        moved = [name for name, origin in zip(self.column_names, self.origin.tolist(), strict=True) if origin != 0]
        if self.standardize:
            notes.append(
                "data.standardize=true: errors and distances are in standard deviations; densities, samples and"
                " images are in the units of the file"
            )
        elif moved:
            notes.append(
                f"data.path={self.path}: the mean of {', '.join(moved)} is taken off, since float32 would cut digits"
                " off; samples and images have it again"
            )
        return notes

    @property
    def origin(self) -> Tensor:
        """u of x = 0, (D,), float64."""
        return self._units[0]

    @property
    def scale(self) -> Tensor:
        """How far u moves where x moves by 1, (D,), float64."""
        return self._units[1]

    @property
    def log_volume(self) -> float:
        return self.scale.log().sum().item()

    def size(self, split: Split) -> int:
        """The number of examples of a split, whether it was loaded or not."""
        return len(self._split_rows(split))

    def restore(self, x: Tensor) -> Tensor:
        return self.origin + self.scale * x.cpu().double()

    @property
    def units(self) -> dict[str, list[float]]:
        return {"origin": self.origin.tolist(), "scale": self.scale.tolist()}

    def keep_units(self, units: dict[str, list[float]]) -> None:
        if units:
            self._units = tuple(torch.tensor(units[name], dtype=torch.float64) for name in ("origin", "scale"))
            if any(part.shape != self.shape for part in self._units):
                raise ValueError(f"the units of a table: expected those of {self.shape[0]} columns")

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "units": self.units}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.keep_units(state_dict.get("units", {}))

    @property
    def advice(self) -> str | None:
        if self.standardize:
            return None
        reach = self._numbers[self._split_rows("train")].abs().max().item()
        return (
            f"the training data reach {reach:,.6g}; data.standardize=true takes each column's mean off and divides by"
            " its standard deviation"
        )

    def protocol(self) -> dict[str, Any]:
        return {
            **super().protocol(),
            "path": self.path,
            "columns": list(self.column_names),
            "label_column": self.label_column,
            "standardize": self.standardize,
        }

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        self._check_shape()
        rows = self._split_rows(split)
        self.notes = self._notes()
        return self._seen[rows], self._labels[rows]

    def load_all(self) -> tuple[Tensor, Tensor]:
        self._check_shape()
        return self._seen, self._labels

    def _check_shape(self) -> None:
        if self.shape != (len(self.column_names),):
            raise ValueError(
                f"data.shape={list(self.shape)}: expected [{len(self.column_names)}], the columns of {self.path}"
            )

    @cached_property
    def _rows(self) -> Rows:
        return read_rows(self.layout)

    @cached_property
    def _numbers(self) -> Tensor:
        """u, (N, D), float64, in the order of the file."""
        return torch.frombuffer(self._rows.numbers, dtype=torch.float64).view(-1, len(self.layout.chosen))

    @cached_property
    def _labels(self) -> Tensor:
        if self.class_names is None:
            return torch.full((len(self._numbers),), -1)
        numbers = {name: k for k, name in enumerate(self.class_names)}
        return torch.tensor([numbers.get(label_in(cell), -1) for cell in self._rows.labels])

    def _split_rows(self, split: Split) -> Tensor:
        """Rows of the file that belong to a split, those of them that `limit` keeps, in its order: a tenth of all, and
        at least one, for validation and for test each."""
        count = len(self._numbers)
        if count < 3:
            of_rows = f"{count} row{'s' * (count != 1)}"
            raise ValueError(f"data.path={self.path}: {of_rows}, expected at least 3, one for each split")
        mixed = torch.randperm(count, generator=torch.Generator().manual_seed(mix_key(self.split_seed)))
        held_out = max(count // 10, 1)
        rows = dict(zip(SPLITS, mixed.split([count - 2 * held_out, held_out, held_out]), strict=True))[split]
        return rows[self.kept(split, len(rows))]

    @cached_property
    def _units(self) -> tuple[Tensor, Tensor]:
        """Origin and scale."""
        train = self._numbers[self._split_rows("train")]
        columns = list(zip(self.layout.chosen, train.T, strict=True))
        if not self.standardize:
            return torch.stack([origin_of(u) for _, u in columns]), torch.ones(len(columns), dtype=torch.float64)
        means, scales = zip(*(mean_and_deviation(u) for _, u in columns), strict=True)
        for (place, u), scale in zip(columns, scales, strict=True):
            if scale == 0:
                raise ValueError(
                    f"data.standardize=true: {self.layout.column(place)} of {self.path} is {u[0].item():.6g} in all"
                    " training rows, which has no standard deviation; leave it out by data.columns=[…]"
                )
        return torch.stack(means), torch.stack(scales)

    @cached_property
    def _seen(self) -> Tensor:
        """x, (N, D), float32, in the order of the file."""
        x = ((self._numbers - self.origin) / self.scale).float()
        for place, u, seen in zip(self.layout.chosen, self._numbers.T, x.T, strict=True):
            column = f"data.path={self.path}: {self.layout.column(place)}"
            if (pair := first_lost(u, seen)) is not None:
                raise ValueError(
                    f"{column}: {pair[0]!r} and {pair[1]!r} would become one number in float32, beside values so far"
                    " away; data.columns=[…] leaves the column out"
                )
        return x


def mean_and_deviation(u: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of u (N,), float64; the latter is 0 where all values are the same."""
    # Relative to the first value both are exact where all values are the same.
    return u[0] + (u - u[0]).mean(), (u - u[0]).std(correction=0)


def origin_of(u: Tensor) -> Tensor:
    """What is to be taken off a column u (N,), float64, before it is rounded to float32: nothing, or its mean, if
    rounding moves a value by more than MOST_MOVED standard deviations, or makes too many values one."""
    mean, deviation = mean_and_deviation(u)
    rounded = u.float()
    is_kept = (u - rounded.double()).abs().max() <= MOST_MOVED * deviation and first_lost(u, rounded) is None
    return torch.zeros_like(mean) if is_kept else mean


def first_lost(u: Tensor, x: Tensor) -> tuple[float, float] | None:
    """Two values of u (N,), float64, that are one in x (N,), float32, which rises with u, where that happens to too
    many; else None."""
    values, order = u.sort()
    steps = values.diff()
    is_lost = (steps > 0) & (x[order].diff() == 0)
    different = 1 + int((steps > 0).sum())
    if int(is_lost.sum()) <= different * (MOST_LOST + different / MOST_VALUES):
        return None
    # The pair that is farthest apart, which the user can tell apart best.
    i = int(torch.where(is_lost, steps, -math.inf).argmax())
    return values[i].item(), values[i + 1].item()
