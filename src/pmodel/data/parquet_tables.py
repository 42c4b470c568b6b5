"""Files of Parquet, as pandas, Polars, DuckDB and Spark write them: the columns that they have, and their numbers.

Light to import: pyarrow is loaded when such a file is read.
"""

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pmodel.data.csv_cells import LARGEST
from pmodel.data.table_layout import Header, Layout, Rows, Version
from pmodel.files.foreign import regular
from pmodel.files.printable import first_line, printable

# Rows that are read at once.
AT_ONCE = 65_536
# What pandas calls an index without a name.
INDEX = re.compile(r"__index_level_\d+__")


def all_columns(path: str, header: Header, version: Version) -> Layout:
    """The layout of a file of which all columns but pandas' index are learned from.

    Raises:
        ValueError: of one line, if it can't be read, or has no rows.
    """
    if header is False:
        raise ValueError(f"data.header=false: expected auto or true; the columns of {path} have names")
    with _opened(path) as file:
        schema, num_rows = file.schema_arrow, file.metadata.num_rows
    if not num_rows or not len(schema):
        raise ValueError(f"data.path={path}: it has no rows of numbers")
    names = tuple(map(printable, schema.names))
    index = _index(schema)
    # Where there is nothing else, it is what is learned from.
    chosen = tuple(j for j in range(len(names)) if j not in index) or index
    return Layout(path, "", None, names, chosen, None, (), version, () if chosen == index else index)


def read_rows(layout: Layout) -> Rows:
    """All rows of the file, as float64.

    Raises:
        ValueError: of one line, with the row, counted from 1, and the column, if a value is missing or no number that
            is finite in float32, or a column holds something else than numbers.
    """
    import numpy as np

    numbers, labels, first = array("d"), None if layout.label is None else [], 1
    with _opened(layout.path) as file:
        _check_types(layout, file)
        for columns in _batches(layout, file):
            values = np.stack([_as_float64(columns[j]) for j in layout.chosen], 1)
            wrong = np.argwhere(~(np.abs(values) <= LARGEST))
            if len(wrong):
                row, place = wrong[0].tolist()
                value = columns[layout.chosen[place]][row].as_py()
                raise ValueError(
                    f"data.path={layout.path}: row {first + row}: {'null' if value is None else value} in"
                    f" {layout.column(layout.chosen[place])}: expected a number that is finite in float32; fill it in,"
                    " or leave the row or column out"
                )
            numbers.frombytes(values.tobytes())
            first += len(values)
            if labels is not None:
                labels += map(_label, columns[layout.label].to_pylist())
    return Rows(numbers, labels, ())


def labels_in(layout: Layout) -> list[str]:
    """The labels of all rows, as a CSV file would have them; an empty text where there is none.

    Raises:
        ValueError: of one line, if the file can't be read, or its column holds lists or the like.
    """
    with _opened(layout.path) as file:
        _check_types(layout, file)
        return [
            _label(v) for columns in _batches(layout, file, [layout.label]) for v in columns[layout.label].to_pylist()
        ]


def is_index(layout: Layout) -> bool:
    """Whether the first column numbers the rows without a name: all columns have names."""
    return False


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`; what pyarrow says of a file that is none, in one line."""
    if find_spec("pyarrow") is None:
        needs = "needs pmodel[parquet], which is not installed: pip install 'pmodel[parquet]'"
        raise ValueError(f"data.path={path}: {needs}; a .csv file does without")
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(regular(Path(path).expanduser()), page_checksum_verification=True) as file:
            yield file
    except (ArrowException, OSError) as error:
        raise ValueError(f"data.path={path}: can't be read as Parquet: {first_line(error)}") from None


def _batches(layout: Layout, file: Any, places: Sequence[int] | None = None) -> Iterator[dict[int, Any]]:
    """The columns that are asked for, by their places, some rows at once."""
    if places is None:
        places = [*layout.chosen, *([] if layout.label is None else [layout.label])]
    names = file.schema_arrow.names
    # By their names, which have to differ; else all are read.
    some = [names[j] for j in places] if len(set(names)) == len(names) else None
    for batch in file.iter_batches(AT_ONCE, columns=some):
        yield {j: batch.column(j if some is None else batch.schema.names.index(names[j])) for j in places}


def _index(schema: Any) -> tuple[int, ...]:
    """The places of columns that pandas' own note in the file calls an index, or that are named as one."""
    try:
        stored = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError):
        stored = []
    named = {name for name in stored if isinstance(name, str)} if isinstance(stored, list) else set()
    return tuple(j for j, name in enumerate(schema.names) if name in named or INDEX.fullmatch(name))


def _check_types(layout: Layout, file: Any) -> None:
    """Refuses columns that hold something else than what they are chosen for."""
    from pyarrow import types

    fields, place = file.schema_arrow, f"data.path={layout.path}"
    for j in layout.chosen:
        kind = fields.field(j).type
        if _are_texts(kind):
            first = printable(_label(_first(file, j)))
            raise ValueError(
                f"{place}: {layout.column(j)} holds texts, such as {first[:60]!r}: data.label_column="
                f"{layout.all_names[j] or j + 1} takes it for labels, data.columns=[…] leaves it out"
            )
        if not (_are_numbers(kind) or types.is_null(kind)):
            raise ValueError(
                f"{place}: {layout.column(j)} holds {kind}: expected numbers; data.columns=[…] leaves it out"
            )
    if layout.label is not None:
        kind = fields.field(layout.label).type
        if not (_are_texts(kind) or _are_numbers(kind) or types.is_temporal(kind)):
            name = layout.all_names[layout.label] or layout.label + 1
            raise ValueError(f"data.label_column={name}: expected texts or numbers, and {layout.path} has {kind} there")


def _are_numbers(kind: Any) -> bool:
    from pyarrow import types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)


def _are_texts(kind: Any) -> bool:
    """Texts, also as categories."""
    from pyarrow import types

    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return types.is_dictionary(kind) or any(is_kind(kind) for is_kind in texts)


def _as_float64(column: Any) -> Any:
    """The values of a column of numbers as NumPy's float64, NaN for null."""
    import numpy as np
    from pyarrow import types

    if types.is_decimal(column.type):  # pyarrow's own way may round twice
        return np.array([np.nan if value is None else float(value) for value in column.to_pylist()])
    return column.cast("double", safe=False).to_numpy(zero_copy_only=False)


def _label(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _first(file: Any, place: int) -> Any:
    """The first value of a column that there is, or None."""
    for batch in file.iter_batches(AT_ONCE):
        if len(values := batch.column(place).drop_null()):
            return values[0].as_py()
    return None
