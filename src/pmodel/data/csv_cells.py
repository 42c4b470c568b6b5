"""What a cell of a CSV file says: a number, a label, a name, or nothing."""

import re
from collections.abc import Sequence

from pmodel.files.printable import printable

MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "?", "-", "--", "."}

LARGEST = 3.4028234663852886e38  # of float32

# What pandas calls a column without a name.
UNNAMED = re.compile(r"Unnamed: \d+")


def label_in(cell: str) -> str | None:
    """A label as it is compared: 1 and 1.0 are the same; None where it is missing."""
    if cell.lower() in MISSING:
        return None
    value = number_in(cell)
    return str(int(value)) if value is not None and abs(value) < 2**53 and value == int(value) else printable(cell)


def is_number(cell: str) -> bool:
    return number_in(cell) is not None or with_comma(cell) is not None


def number_in(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python reads 1_000 as a thousand
    except ValueError:
        return None


def with_comma(cell: str) -> float | None:
    """A number with a decimal comma."""
    return float(cell.replace(",", ".")) if re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", cell) else None


def name_in(cell: str) -> str:
    """A column's name; NumPy writes a # in front of the first one."""
    return "" if UNNAMED.fullmatch(cell) else printable(cell.removeprefix("#").strip())


def listed(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= 12 else [*names[:10], "…", names[-1]])
