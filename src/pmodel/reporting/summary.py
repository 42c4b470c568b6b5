"""What a run says at its end, in the terminal: plain lines, the same in a log file."""

import math
from pathlib import Path

from pmodel.foreign import printable
from pmodel.reporting.results import Number


def table(rows: list[list[str]], right: set[int]) -> str:
    """Rows of cells as lines with aligned columns; the columns in `right` end flush."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def numbers_table(numbers: list[Number]) -> str:
    """One line per number: name, value with its standard error, unit, bits/dim, and what it was measured on."""
    rows = [
        [
            number["name"],
            format_value(number["value"]),
            f"± {number['standard_error']:.2f}" if "standard_error" in number else "",
            number["unit"],
            f"{number['bits_per_dim']:.3f} bits/dim" if "bits_per_dim" in number else "",
            f"({number['count']:,} {number['split']} examples)" if "split" in number else "",
        ]
        for number in numbers
    ]
    return table(rows, right={1, 2, 4})


def paths_table(run_dir: Path, pictures: list[Path]) -> str:
    """The run directory and its pictures, as one would type them."""
    labels = ["pictures", *[""] * len(pictures)]
    rows = [["run", f"{shown(run_dir)}/"], *([label, shown(p)] for label, p in zip(labels, pictures, strict=False))]
    return table(rows, right=set())


def shown(path: Path) -> str:
    """The path in one line, relative to the working directory where it lies below it."""
    path = Path(path).absolute()
    return printable(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def format_value(value: float) -> str:
    """Integers and large numbers with separators, others with two decimals or four significant digits."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4g}"
