"""The comparison of runs as lines for a terminal."""

import textwrap
from typing import Any

from pmodel.reporting.comparison import (
    FLOOR,
    Column,
    Table,
    bits_text,
    comparison_tables,
    error_text,
    value_text,
)
from pmodel.reporting.results import Number
from pmodel.reporting.summary import table

ARROWS = {"lower": "\u00a0↓", "higher": "\u00a0↑", None: ""}
# A run's label is broken into lines of that length, a number's name into lines of the other.
LABEL_WIDTH, NAME_WIDTH = 12, 28


def comparison_text(results: dict[str, Any], width: int) -> str:
    """All numbers of a results document: a list for one run, for several a table with a column for each run.

    A table that is wider than `width` characters goes on below, with the runs that are left.
    """
    tables = comparison_tables(results)
    parts = []
    for part in tables:
        if len(tables) > 1:
            parts.append(f"{part.heading}\n{'─' * min(width, len(part.heading))}")
        parts.append(_list(part, titled=len(tables) > 1) if len(part.runs) == 1 else _table(part, width))
    return "\n\n".join(parts)


def _list(part: Table, titled: bool) -> str:
    """One line per number of the only run, as a training's end has them, and the floor beside it."""
    rows = []
    for column in part.columns:
        (number,) = column.numbers
        error, bits = error_text(number), bits_text(number)
        rows.append(
            [
                column.name if (column.kind or "") in column.name else f"{column.name}, {column.kind}",
                value_text(number),
                f"± {error}" if error else "",
                column.unit,
                f"{bits} bits/dim" if bits else "",
                f"({number['count']:,} {number['split']} examples)" if {"count", "split"} <= number.keys() else "",
                f"floor {value_text(column.floor)}" if column.floor else "",
            ]
        )
    lines = [part.labels[0]] if titled else []
    lines += [table(rows, right={1, 2, 4})] if rows else []
    if any(column.floor for column in part.columns):
        lines.append(f"floor: {FLOOR} in place of samples")
    return "\n".join([*lines, *_not_measured(part)])


def _table(part: Table, width: int) -> str:
    """Numbers as rows, runs and the floor as columns, in as many blocks as the width asks for; below, what to note."""
    names, columns = _cells(part)
    left = max(map(len, names))
    blocks: list[list[str]] = []
    for i, cells in enumerate(columns):
        size = 1 + max(map(len, cells))
        if not blocks or len(blocks[-1][0]) + size > width:
            blocks.append([name.ljust(left) for name in names])
            alone = i == len(part.runs)  # the floor, which few numbers have
        blocks[-1] = [line + cell.rjust(size) for line, cell in zip(blocks[-1], cells, strict=True)]
    if alone:
        blocks[-1] = _filled(blocks[-1], left)
    tables = ["\n".join(line.rstrip() for line in block).lstrip("\n") for block in blocks]
    notes = ["* the best of those measured alike"] if any(any(column.best) for column in part.columns) else []
    notes += [
        f"{column.name}: measured differently: {column.difference}" for column in part.columns if column.difference
    ]
    notes += [f"{superscript(i)} {reason} ({', '.join(runs)})" for i, (reason, runs) in enumerate(part.footnotes)]
    notes += _not_measured(part)
    lines = [line for note in notes for line in textwrap.wrap(note, width, subsequent_indent="  ")]
    return "\n\n".join(tables + (["\n".join(lines)] if lines else []))


def _filled(block: list[str], left: int) -> list[str]:
    """The lines of a block but for the numbers that its columns don't have."""
    kept: list[str] = []
    pending: list[str] = []
    for line in block:
        is_heading = line.strip() != "" and not line.startswith(" ")
        pending = [line] if is_heading else [*pending, line]
        if line[left:].strip():
            kept += pending
            pending = []
    return kept


def _cells(part: Table) -> tuple[list[str], list[list[str]]]:
    """The names of all lines, and for each run and the floor the cells beside them."""
    floor = any(column.floor for column in part.columns)
    heads = [_broken(label, LABEL_WIDTH) for label in part.labels] + ([_broken(FLOOR, 8)] if floor else [])
    height = max(map(len, heads))
    names = [""] * height
    # A mark's place stays free where there is none, so that digits stand below digits.
    columns = [[*[""] * (height - len(head)), *(f"{line} " for line in head)] for head in heads]

    def add(name: str, cells: list[str]) -> None:
        names.append(name)
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)

    heading = None
    for column in part.columns:
        own = f"{column.group}, {column.kind}" if column.kind else column.group
        if own != heading:
            add(own, [""] * len(columns))
            heading = own
        numbers = [*column.numbers, *([column.floor] if floor else [])]
        name = f"{column.name}{f', {column.unit}' if column.unit else ''}{ARROWS[column.better]}"
        *above, last = _broken(name, NAME_WIDTH)
        for line in above:
            add(f"  {line}", [""] * len(columns))
        add(f"  {last}", _values(column) + ([_with_place(column.floor, value_text)] if floor else []))
        for text, label in ((error_text, "± standard error"), (bits_text, "bits/dim")):
            cells = [_with_place(number, text) for number in numbers]
            if any(cell.strip() for cell in cells):
                add(f"    {label}", cells)
    return names, columns


def _values(column: Column) -> list[str]:
    """Each run's value and its mark, or the place of the reason."""
    return [
        f"–{superscript(note)}" if number is None else value_text(number) + ("*" if best else " ")
        for number, note, best in zip(column.numbers, column.notes, column.best, strict=True)
    ]


def _with_place(number: Number | None, text: Any) -> str:
    return f"{text(number)} " if number is not None else ""


def _broken(text: str, width: int) -> list[str]:
    """Lines of that width; K = 500 stays together."""
    lines = textwrap.wrap(text.replace(" = ", "\u00a0=\u00a0"), width) or [""]
    return [line.replace("\u00a0", " ") for line in lines]


def _not_measured(part: Table) -> list[str]:
    """A line for each number that no run has."""
    several = len(part.runs) > 1
    return [f"– {name}: {reason}" + (f" ({', '.join(runs)})" if several else "") for name, reason, runs in part.absent]


def superscript(place: int) -> str:
    """A footnote's number, the first is ¹."""
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(place + 1))
