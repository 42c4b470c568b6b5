"""What a run says at its end, in the terminal: plain lines, the same in a log file."""

from pathlib import Path

from pmodel.files.printable import shown
from pmodel.reporting.texts import bits_text, error_text, examples_text, grouped, label_of, value_text
from pmodel.runs.results import Number


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


def row(name: str, number: Number, unit: str, about: str) -> list[str]:
    """The cells of a number: its value with standard error, unit and bits/dim, and in brackets what there is to add."""
    error, bits = error_text(number), bits_text(number)
    return [
        name,
        value_text(number),
        f"± {error}" if error else "",
        unit,
        f"{bits} bits/dim" if bits else "",
        f"({about})" if about else "",
    ]


def numbers_table(numbers: list[Number]) -> str:
    """One line per number: its name, value with standard error, unit, bits/dim, and what it was measured on, or in half
    a line what it is beside the main number.

    Below them stands, for each caveat, which have it.
    """
    rows = []
    for number in numbers:
        examples = examples_text(number["count"], number["split"]) if "split" in number else ""
        rows.append(row(label_of(number), number, number["unit"], number.get("remark") or examples))
    caveats = grouped((caveat, label_of(number)) for number in numbers for caveat in number.get("caveats", []))
    lines = [f"{', '.join(names)}: {caveat}" for caveat, names in caveats.items()]
    return "\n".join([table(rows, right={1, 2, 4}), *lines])


def paths_table(run_dir: Path, images: list[Path]) -> str:
    """The run directory and its images, as one would type them."""
    figures = [["" if i else "figures ", shown(path)] for i, path in enumerate(images)]
    return table([["run", f"{shown(run_dir)}/"], *figures], right=set())
