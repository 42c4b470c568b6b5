"""The comparison of runs as lines for a terminal."""

import re
import textwrap
from collections.abc import Callable
from typing import Any

from pmodel.reporting.comparison import ERROR, MARKED, REFERENCE, Column, Table, cautions, comparison_tables, failures
from pmodel.reporting.conditions import conditions, counted_elsewhere, remarks
from pmodel.reporting.summary import row, table
from pmodel.reporting.texts import bits_text, error_text, value_text
from pmodel.runs.results import Number

# A run's label is broken into lines of that length, a number's name into lines of the other.
LABEL_WIDTH, NAME_WIDTH = 16, 28


def comparison_text(results: dict[str, Any], width: int) -> str:
    """All numbers of a results document: a list for one run, for several a table with a column for each run.

    A table that is wider than `width` characters goes on below, with the runs that are left. Below it stand the
    conditions that its numbers share, what there is to note, and at last the runs that could not be evaluated.
    """
    tables = comparison_tables(results)
    parts = []
    for part in tables:
        alone = len(part.runs) == 1
        heading = f"{f'{part.heads[0]}: ' * alone}{part.examples} of {part.heading}"
        lines = textwrap.wrap(heading, width)
        parts.append("\n".join([*lines, "─" * max(map(len, lines))] if len(tables) > 1 else lines))
        parts += [_list(part)] if alone else _blocks(part, width)
        notes = conditions(part) + _notes(part)
        parts.append("\n".join(line for note in notes for line in textwrap.wrap(note, width, subsequent_indent="    ")))
    if failed := failures(results):
        lines = [line for note in failed for line in textwrap.wrap(note, width, subsequent_indent="    ")]
        parts.append("\n".join(["not evaluated:", *(f"  {line}" for line in lines)]))
    return "\n\n".join(filter(None, parts))


def _list(part: Table) -> str:
    """One line per number of the only run below its group's heading, and the reference beside it."""
    rows, headings = [], {}
    elsewhere = counted_elsewhere(part)
    for column in part.columns:
        if _heading(column) not in headings.values():
            headings[len(rows)] = _heading(column)
        (number,) = column.numbers
        about = "; ".join(filter(None, [column.remark, elsewhere.get(column.label)]))
        reference = f"reference {value_text(column.reference)}" if column.reference else ""
        rows.append([*row(f"  {_named(column, '')}", number, column.unit, about), reference])
    lines = table(rows, right={1, 2, 4}).split("\n") if rows else ["no number was measured"]
    return "\n".join(text for i, line in enumerate(lines) for text in (headings.get(i), line) if text is not None)


def _notes(part: Table) -> list[str]:
    """What a sign stands for, what was measured differently, and what was not measured, for which reason."""
    alone = len(part.runs) == 1
    notes = [f"* marks {MARKED}"] if any(any(column.best) for column in part.columns) else []
    if part.has_errors and alone:
        notes.append(ERROR)
    if any(column.reference for column in part.columns) and alone:
        notes.append(f"reference: {REFERENCE} in place of samples")
    notes += [] if alone else remarks(part)
    notes += cautions(part.columns)
    notes += [
        f"{superscript(i)} {reason} ({', '.join(runs)})" for i, (reason, runs) in enumerate(part.footnotes.items())
    ]
    if part.absent:
        notes += ["not measured:", *(f"  {line}" for line in part.absent)]
    return notes


def _blocks(part: Table, width: int) -> list[str]:
    """Numbers as rows, runs and the reference as columns, in as many blocks as the width asks for."""
    names, columns = _cells(part)
    left = max(map(len, names))
    blocks: list[list[str]] = []
    for i, cells in enumerate(columns):
        size = 1 + max(map(len, cells))
        if not blocks or len(blocks[-1][0]) + size > width:
            blocks.append([name.ljust(left) for name in names])
            alone = i == len(part.runs)  # the reference, which few numbers have
        blocks[-1] = [line + cell.rjust(size) for line, cell in zip(blocks[-1], cells, strict=True)]
    if alone:
        blocks[-1] = _filled(blocks[-1], left)
    return ["\n".join(line.rstrip() for line in block).lstrip("\n") for block in blocks]


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
    """The names of all lines, and for each run and the reference the cells beside them."""
    referred = any(column.reference for column in part.columns)
    heads = [_broken_label(label) for label in part.heads] + ([_broken(REFERENCE, 8)] if referred else [])
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
        if _heading(column) != heading:
            heading = _heading(column)
            add(heading, [""] * len(columns))
        numbers = [*column.numbers, *([column.reference] if referred else [])]
        *above, last = _broken(_named(column, column.unit), NAME_WIDTH)
        for line in above:
            add(f"  {line}", [""] * len(columns))
        values = [
            f"–{superscript(note)}" if number is None else value_text(number) + ("*" if best else " ")
            for number, note, best in zip(column.numbers, column.notes, column.best, strict=True)
        ]
        add(f"  {last}", values + ([_with_place(column.reference, value_text)] if referred else []))
        for text, label in ((error_text, "± standard error"), (bits_text, "bits/dim")):
            cells = [_with_place(number, text) for number in numbers]
            if any(cell.strip() for cell in cells):
                add(f"    {label}", cells)
    return names, columns


def _heading(column: Column) -> str:
    return f"{column.group}, {column.kind}" if column.kind else column.group


def _named(column: Column, unit: str) -> str:
    """A number's name with its unit, and where it is better; an arrow stays with the word before it."""
    where = column.direction
    name = f"{column.label}, {unit}" if unit else column.label
    return f"{name}\u00a0{where}" if len(where) == 1 else f"{name}{where and f' ({where})'}"


def _with_place(number: Number | None, text: Callable[[Number], str]) -> str:
    return f"{text(number)} " if number is not None else ""


def _broken(text: str, width: int) -> list[str]:
    """Lines of that width; K = 500 stays together."""
    lines = textwrap.wrap(text.replace(" = ", "\u00a0=\u00a0"), width) or [""]
    return [line.replace("\u00a0", " ") for line in lines]


def _broken_label(label: str) -> list[str]:
    """Lines of LABEL_WIDTH, as far as spaces and "." allow, and "=" where a setting is longer than a line: a word or a
    number is never broken, unless it is longer than two lines; then, after "_"."""
    lines = [""]
    for word in label.split():
        start = " " if lines[-1] else ""
        # No dot between two digits.
        pieces = re.findall(r".+?(?:(?<!\d)\.|\.(?!\d)|$)", word)
        for sign, longest in (("=", LABEL_WIDTH), ("_", 2 * LABEL_WIDTH)):
            pieces = [part for whole in pieces for part in _cut(whole, sign, longest)]
        for piece in pieces:
            if len(lines[-1] + start + piece) <= LABEL_WIDTH or not lines[-1]:
                lines[-1] += start + piece
            else:
                lines.append(piece)
            start = ""
    return lines


def _cut(text: str, sign: str, longest: int) -> list[str]:
    """The text, in parts that end with the sign if it is longer."""
    return re.findall(f".+?(?:{sign}|$)", text) if len(text) > longest else [text]


def superscript(place: int) -> str:
    """A footnote's number, the first is ¹."""
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(place + 1))
