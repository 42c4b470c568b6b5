"""Files of comma-separated values: which of their columns are numbers to learn from, and the numbers themselves.

Light to import: the command line's check asks a file for its width.
"""

import csv
import functools
import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from annotated_types import MinLen

from pmodel.data.csv_cells import LARGEST, MISSING, is_number, label_in, listed, name_in, number_in, with_comma
from pmodel.files.foreign import regular
from pmodel.files.printable import printable
from pmodel.settings.ranges import Whole

Header = Literal["auto"] | bool
# A column by its name, or by its number in the file, counted from 1.
Column = str | Whole
Columns = Annotated[list[Column], MinLen(1)]
Version = tuple[int, int] | None
# In the order in which they are looked for: a decimal comma, or one in a name, is beside the other two.
DELIMITERS = "\t;,"


@dataclass(frozen=True)
class Layout:
    """What the columns of a file are.

    path: as it was typed
    delimiter: between two cells
    header: the line of the names, counted from 1; None without
    all_names: of each column of the file; "" where it has none
    chosen: the places, from 0, of those that are numbers to learn from
    label: the place of that of the labels; None without
    notes: a line each on what was found
    version: when the file was last changed, and its size; None where there is none
    """

    path: str
    delimiter: str
    header: int | None
    all_names: tuple[str, ...]
    chosen: tuple[int, ...]
    label: int | None
    notes: tuple[str, ...]
    version: Version

    @property
    def names(self) -> tuple[str, ...]:
        """Of the chosen columns: x and its number in the file where it has none, x and its name where that is a
        number."""
        names = [self.all_names[j] or str(j + 1) for j in self.chosen]
        return tuple(f"x{name}" if name.isdigit() else name for name in names)

    def column(self, place: int) -> str:
        """How a message calls a column."""
        return f"column {self.all_names[place] or place + 1}"


class Rows(NamedTuple):
    """The rows of a file: `numbers` of the chosen columns, row by row, `labels` as they stand there (None without a
    column of labels), and further notes."""

    numbers: array
    labels: list[str] | None
    notes: tuple[str, ...]


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
    found = _all_columns(path, header, version)
    notes = list(found.notes)
    label = None if label_column is None else _place(found, label_column, f"data.label_column={label_column}")
    if columns is not None:
        typed = f"data.columns=[{','.join(map(str, columns))}]"
        chosen = tuple(_place(found, column, typed) for column in columns)
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
        if len(chosen) > 1 and chosen[0] == 0 and has_names and _is_index(found):
            chosen = chosen[1:]
            notes.append(f"data.path={path}: column 1 has no name and numbers the rows: left out")
    if not chosen:
        raise ValueError(f"data.label_column={label_column}: expected another column of numbers beside it")
    return replace(found, chosen=chosen, label=label, notes=tuple(notes))


def _all_columns(path: str, header: Header, version: Version) -> Layout:
    """The layout of a file of which all columns are learnt from."""
    delimiter = _delimiter(path)
    rows = list(itertools.islice(_lines(path, delimiter), 2))
    line, cells = rows[0] if rows else (0, [])
    is_counted = _counts(cells)
    has_header = header is True or (header == "auto" and (is_counted or not any(map(is_number, cells))))
    if len(rows) < 1 + has_header:
        raise ValueError(f"data.path={path}: it has no rows of numbers")
    names, notes = tuple(name_in(cell) if has_header else "" for cell in cells), ()
    if has_header and is_counted:
        typed = f"data.path={path}: line {line} ({listed(cells)}) is taken for a header"
        notes = (f"{typed}; data.header=false makes it a row",)
    all_places = tuple(range(len(names)))
    return Layout(path, delimiter, line if has_header else None, names, all_places, None, notes, version)


def read_rows(layout: Layout) -> Rows:
    """All rows of the file, as float64.

    Raises:
        ValueError: of one line, with the line and the column of the file, if a cell is missing or no number that is
            finite in float32, or a row has another number of cells.
    """
    numbers, labels = array("d"), None if layout.label is None else []
    with_commas, with_point = False, None
    for line, cells in data_lines(layout):
        values = [number_in(cells[j]) for j in layout.chosen]
        if None in values and layout.delimiter == ";":
            with_commas = True
            values = [with_comma(cells[j]) if v is None else v for j, v in zip(layout.chosen, values, strict=True)]
        for j, value in zip(layout.chosen, values, strict=True):
            if value is None or not -LARGEST <= value <= LARGEST:
                raise _no_number(layout, line, j, cells[j])
            if with_point is None and "." in cells[j]:
                with_point = f"line {line}: {cells[j]!r} in {layout.column(j)}"
        numbers.extend(values)
        if labels is not None:
            labels.append(cells[layout.label])
    if with_commas and with_point:  # one of them divides thousands
        raise ValueError(
            f"data.path={layout.path}: {with_point} has a point, and other numbers have a decimal comma; expected one"
            " of both"
        )
    notes = (f"data.path={layout.path}: decimal commas are read as points",) if with_commas else ()
    return Rows(numbers, labels, notes)


def _lines(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file that are not empty, their cells without space around them, and the lines where they end."""
    try:
        with regular(Path(path).expanduser()).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"data.path={path}: can't be read as CSV: {error}") from error


def data_lines(layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """The rows without the header, each as long as the first line of the file."""
    width, first = len(layout.all_names), None
    for line, cells in _lines(layout.path, layout.delimiter):
        first = first or line
        if line == layout.header:
            continue
        if len(cells) != width:
            count = f"{len(cells)} column{'s' * (len(cells) != 1)}"
            raise ValueError(f"data.path={layout.path}: line {line} has {count}, expected {width} as in line {first}")
        yield line, cells


def _delimiter(path: str) -> str:
    """That which cuts the first two rows into as many cells, more than one; else one that is in the first row."""
    cuts = {d: [len(cells) for _, cells in itertools.islice(_lines(path, d), 2)] for d in DELIMITERS}
    even = [d for d, widths in cuts.items() if len(widths) == 2 and widths[0] == widths[1] > 1]
    return [*even, *(d for d, widths in cuts.items() if widths and widths[0] > 1), ","][0]


def _counts(cells: Sequence[str]) -> bool:
    """Whether the cells are 0 … D − 1 or 1 … D, as an array's columns are named; the first may be an index's, empty."""
    named = cells[1:] if cells and cells[0] == "" else cells
    return any(named and named == [str(start + j) for j in range(len(named))] for start in (0, 1))


def _place(layout: Layout, column: Column, typed: str) -> int:
    """The place, from 0, of a column that is named, or numbered from 1."""
    names = layout.all_names
    places = [j for j, name in enumerate(names) if name and name == str(column)]
    if len(places) > 1:
        numbers = " and ".join(str(j + 1) for j in places)
        raise ValueError(f"{typed}: columns {numbers} are both called {column}; type a number")
    if places:
        return places[0]
    if isinstance(column, int) and 1 <= column <= len(names):
        return column - 1
    there_are = listed(list(filter(None, names))) or f"without names, 1 to {len(names)}"
    raise ValueError(f"{typed}: there is no column {column} in {layout.path}; its columns are {there_are}")


def _is_index(layout: Layout) -> bool:
    """Whether the first column numbers the rows, each with another whole number."""
    cells = [cells[0] for _, cells in data_lines(layout)]
    return all(cell.isdecimal() for cell in cells) and len(set(cells)) == len(cells)


def _no_number(layout: Layout, line: int, place: int, cell: str) -> ValueError:
    """What is wrong with a cell that is no finite number in float32."""
    table, column = f"data.path={layout.path}", layout.column(place)
    texts = [cells[place] for _, cells in data_lines(layout) if cells[place].lower() not in MISSING]
    if texts and not any(map(is_number, texts)):
        return ValueError(
            f"{table}: {column} holds texts, such as {printable(texts[0])[:60]!r}:"
            f" data.label_column={layout.all_names[place] or place + 1} takes it for labels, data.columns=[…] leaves it"
            " out"
        )
    return ValueError(
        f"{table}: line {line}: {printable(cell)[:60]!r} in {column}: expected a number that is finite in float32; fill"
        " it in, or leave the row or column out"
    )


@functools.lru_cache(maxsize=8)
def num_classes(layout: Layout) -> int:
    """How many different labels there are in the file.

    Raises:
        ValueError: of one line, as `class_names`, or if a row has another number of cells.
    """
    return len(class_names(layout, [cells[layout.label] for _, cells in data_lines(layout)]))


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
