"""The numbers of runs side by side as a Markdown table, to be pasted elsewhere."""

from typing import Any

from pmodel.reporting.comparison import FLOOR, Column, bits_text, comparison_tables, error_text, value_text
from pmodel.reporting.results import Number

ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}


def comparison_markdown(results: dict[str, Any]) -> str:
    """A table for all runs on the same data: a row for each number, a column for each run; the best in bold type."""
    parts = []
    for part in comparison_tables(results):
        floor = any(column.floor for column in part.columns)
        head = ["", *map(_escaped, part.labels), *([FLOOR] if floor else [])]
        rows = [head, ["---", *["---:"] * (len(head) - 1)]]
        for column in part.columns:
            cells = [
                _cell(number, best, f"<sup>{note + 1}</sup>" if note is not None else "")
                for number, best, note in zip(column.numbers, column.best, column.notes, strict=True)
            ]
            rows.append([_name(column), *cells, *([_cell(column.floor, False, "") if column.floor else ""] * floor)])
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        notes = [f"{i}. {reason}" for i, (reason, _) in enumerate(part.footnotes, start=1)]
        parts.append("\n".join([f"**{_escaped(part.heading)}**", "", *lines, "", *notes]).rstrip())
    return "\n\n".join(parts) + "\n"


def _name(column: Column) -> str:
    kind = f", {column.kind}" if column.kind and column.kind not in column.name else ""
    unit = f", {column.unit}" if column.unit else ""
    return _escaped(f"{column.name}{kind}{unit}{ARROWS[column.better]}")


def _cell(number: Number | None, best: bool, note: str) -> str:
    if number is None:
        return f"–{note}"
    value = f"**{value_text(number)}**" if best else value_text(number)
    error, bits = error_text(number), bits_text(number)
    return value + (f" ± {error}" if error else "") + (f" ({bits} bits/dim)" if bits else "")


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "|<>*_`[]\\" else letter for letter in text)
