"""Tables of numbers in files: which of their columns are learned from, and the numbers themselves.

Light to import: the command line's check asks a file for its width.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from pmodel.data import csv_tables, parquet_tables
from pmodel.data.csv_cells import label_in, listed, number_in
from pmodel.data.table_layout import Column, Header, Layout, Rows, Version, place_of

# Files of Parquet, by how they end; all others are CSV.
PARQUET = (".parquet", ".pq")


def reader(path: str) -> ModuleType:
    """The module that reads a file, with `all_columns`, `read_rows`, `labels_in` and `is_index`."""
    return parquet_tables if Path(path).suffix.lower() in PARQUET else csv_tables


def layout(path: str, header: Header, columns: Sequence[Column] | None, label_column: Column | None) -> Layout:
    """What the columns of a file are, by its first lines; where its first column may be an index, by all of that.

    header: whether the first line holds names; auto: if it has no number, or is 0 … D − 1 or 1 … D
    columns: those to learn from, in this order; None: all but an index and the labels
    label_column: that of the labels; None: there is none

    Raises:
        ValueError: of one line, if it can't be read, has no rows, or has no such columns.
    """
    file = Path(path).expanduser()
    version = (file.stat().st_mtime_ns, file.stat().st_size) if file.exists() else None
    return _layout(path, header, None if columns is None else tuple(columns), label_column, version)


@functools.lru_cache(maxsize=8)
def _layout(
    path: str, header: Header, columns: tuple[Column, ...] | None, label_column: Column | None, version: Version
) -> Layout:
    found = reader(path).all_columns(path, header, version)
    notes = list(found.notes)
    label = None if label_column is None else place_of(found, label_column, f"data.label_column={label_column}")
    if columns is not None:
        typed = f"data.columns=[{','.join(map(str, columns))}]"
        chosen = tuple(place_of(found, column, typed) for column in columns)
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"{typed}: expected each column once")
        if label in chosen:
            raise ValueError(f"{typed}: expected others than data.label_column={label_column}")
        left_out = [found.column(j) for j in found.chosen if j not in (*chosen, label)]
        if left_out:
            notes.append(f"{typed}: {listed(left_out)} left out")
    else:
        chosen = tuple(j for j in found.chosen if j != label)
        has_names = found.all_names[0] == "" and all(found.all_names[1:])
        if len(chosen) > 1 and chosen[0] == 0 and has_names and reader(path).is_index(found):
            chosen = chosen[1:]
            notes.append(f"data.path={path}: column 1 has no name and numbers the rows: left out")
        if index := [found.column(j) for j in found.index if j != label]:
            notes.append(f"data.path={path}: {listed(index)} {'is' if len(index) == 1 else 'are'} an index: left out")
    if not chosen:
        raise ValueError(f"data.label_column={label_column}: expected another column of numbers beside it")
    return replace(found, chosen=chosen, label=label, notes=tuple(notes))


def read_rows(layout: Layout) -> Rows:
    """All rows of the file, as float64.

    Raises:
        ValueError: of one line, with the place in the file, if a value is missing or no number that is finite in
            float32.
    """
    return reader(layout.path).read_rows(layout)


@functools.lru_cache(maxsize=8)
def num_classes(layout: Layout) -> int:
    """How many different labels there are in the file.

    Raises:
        ValueError: of one line, as `class_names`, or if a row has another number of cells.
    """
    return len(class_names(layout, reader(layout.path).labels_in(layout)))


def class_names(layout: Layout, labels: Sequence[str]) -> tuple[str, ...]:
    """The different labels, in the order of numbers if they are numbers, else of texts.

    Raises:
        ValueError: if there are fewer than two of them, or one for each row.
    """
    names = {label_in(label) for label in labels} - {None}
    place = f"data.label_column={layout.all_names[layout.label] or layout.label + 1}"
    if len(names) < 2:
        raise ValueError(f"{place}: expected at least 2 classes, and there is only {listed(sorted(names)) or 'none'}")
    if len(names) == len(labels):
        raise ValueError(f"{place}: expected classes of several rows, and each of {len(labels):,} rows has its own")
    numbers = {name: number_in(name) for name in names}
    if None in numbers.values():
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (numbers[name], name)))
