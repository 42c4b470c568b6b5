"""The comparison of runs as lines for a terminal."""

import re
import textwrap
from typing import Any

from pmodel.reporting.comparison import ERROR, MARKED, REFERENCE, Column, Table, cautions, comparison_tables, failures
from pmodel.reporting.conditions import conditions, counted_elsewhere, remarks
from pmodel.reporting.summary import row, table
from pmodel.reporting.texts import bits_text, error_text, in_words, value_text

# A run's label is broken into lines of that length, a number's name into lines of the other, where they have a place.
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
        rows.append([*row(f"  {column.titled()}", number, column.unit, about), reference])
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
        f"{superscript(i)} {in_words(reason)} ({', '.join(runs)})"
        for i, (reason, runs) in enumerate(part.footnotes.items())
    ]
    if part.absent:
        notes += ["not measured:", *(f"  {line}" for line in part.absent)]
    return notes


def _blocks(part: Table, width: int) -> list[str]:
    """Numbers as rows, runs and the reference as columns, in as many blocks as the width asks for."""
    names, *columns = zip(*_rows(part), strict=True)
    left = max(map(len, names))
    blocks: list[list[str]] = []
    for column in columns:
        size = 1 + max(map(len, column))
        if not blocks or len(blocks[-1][0]) + size > width:
            blocks.append([name.ljust(left) for name in names])
        blocks[-1] = [line + cell.rjust(size) for line, cell in zip(blocks[-1], column, strict=True)]
    return ["\n".join(line.rstrip() for line in block).lstrip("\n") for block in blocks]


def _rows(part: Table) -> list[list[str]]:
    """The lines of the table: the name, and the cells of all runs and of the reference."""
    referred = any(column.reference for column in part.columns)
    heads = [_broken(label, LABEL_WIDTH) for label in part.heads] + ([_broken(REFERENCE, 8)] if referred else [])
    height = max(map(len, heads))
    # A mark's place stays free where there is none, so that digits stand below digits.
    cells = [[*[""] * (height - len(head)), *(f"{line} " for line in head)] for head in heads]
    rows = [["", *line] for line in zip(*cells, strict=True)]
    nothing, heading = [""] * len(heads), None
    for column in part.columns:
        if _heading(column) != heading:
            heading = _heading(column)
            rows.append([heading, *nothing])
        *above, last = _broken(column.titled(column.unit), NAME_WIDTH)
        rows += [[f"  {line}", *nothing] for line in above]
        values = [
            f"–{superscript(note)}" if number is None else value_text(number) + ("*" if best else " ")
            for number, note, best in zip(column.numbers, column.notes, column.best, strict=True)
        ]
        numbers = column.numbers + [column.reference] * referred
        reference = f"{value_text(column.reference)} " if column.reference else ""
        rows.append([f"  {last}", *values, *[reference] * referred])
        for text, label in ((error_text, "± standard error"), (bits_text, "bits/dim")):
            cells = [f"{text(number)} " if number else "" for number in numbers]
            if any(cell.strip() for cell in cells):
                rows.append([f"    {label}", *cells])
    return rows


def _heading(column: Column) -> str:
    return f"{column.group}, {column.kind}" if column.kind else column.group


def _broken(text: str, width: int) -> list[str]:
    """Lines of that width, as far as spaces and dots before letters allow; = and arrows stay with their words."""
    lines = [""]
    for piece in re.findall(r".+?(?: (?![=↑↓])(?<!= )|\.(?=[^\W\d])|$)", text):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def superscript(place: int) -> str:
    """A footnote's number, the first is ¹."""
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(place + 1))
