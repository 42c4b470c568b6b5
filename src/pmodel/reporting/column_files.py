"""Columns of numbers and texts as one file, written block by block: .parquet, .csv or .npz. Light to import."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pmodel.files.atomic import replacing

if TYPE_CHECKING:
    import numpy as np

# What a file is, by how its name ends.
KINDS = (".parquet", ".csv", ".npz")
Block = dict[str, "np.ndarray"]


@contextmanager
def column_file(path: Path) -> Iterator[Callable[[Block], None]]:
    """Gives a function that appends a block of columns of equal length, always of the same names; the file is at its
    place once all is written.

    - .parquet: read by pandas, Polars, DuckDB and others; needs pyarrow
    - .csv: a line of names, numbers with all digits
    - .npz: an array for each name

    Raises:
        NotWritten: of one line, if the disk does not take it.
    """
    write = {".parquet": _parquet, ".csv": _csv, ".npz": _npz}[path.suffix.lower()]
    with replacing(path, 0) as file, write(file) as append:
        yield append


@contextmanager
def _parquet(file: IO[bytes]) -> Iterator[Callable[[Block], None]]:
    import pyarrow
    from pyarrow import parquet

    writer: Any = None

    def append(block: Block) -> None:
        nonlocal writer
        table = pyarrow.table(dict(block))
        if writer is None:
            writer = parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)

    try:
        yield append
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def _csv(file: IO[bytes]) -> Iterator[Callable[[Block], None]]:
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer, has_names = csv.writer(text, lineterminator="\n"), False

    def append(block: Block) -> None:
        nonlocal has_names
        if not has_names:
            writer.writerow(block)
            has_names = True
        # A float32 as the shortest text that gives it back.
        columns = [
            [str(v) for v in values] if values.dtype == "float32" else values.tolist() for values in block.values()
        ]
        writer.writerows(zip(*columns, strict=True))

    yield append
    text.detach()  # which leaves the file open


@contextmanager
def _npz(file: IO[bytes]) -> Iterator[Callable[[Block], None]]:
    import numpy as np

    blocks: list[Block] = []
    yield blocks.append
    np.savez(file, **{name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]})
