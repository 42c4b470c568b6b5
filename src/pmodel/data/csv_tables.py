"""Files of comma-separated values: the columns that they have, and their numbers. Light to import."""

import csv
import itertools
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from pmodel.data.csv_cells import LARGEST, MISSING, is_number, listed, name_in, number_in, with_comma
from pmodel.data.table_layout import Header, Layout, Rows, Version
from pmodel.files.foreign import regular
from pmodel.files.printable import printable

# In the order in which they are looked for: a decimal comma, or one in a name, is beside the other two.
DELIMITERS = "\t;,"


def all_columns(path: str, header: Header, version: Version) -> Layout:
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


def labels_in(layout: Layout) -> list[str]:
    """The labels of all rows, as they stand in the file."""
    return [cells[layout.label] for _, cells in data_lines(layout)]


def is_index(layout: Layout) -> bool:
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
