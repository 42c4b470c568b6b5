"""The numbers of runs as HTML tables, for a notebook; the page of eval.py has a larger form of its own."""

from html import escape
from typing import Any

from pmodel.reporting.comparison import ERROR, MARKED, REFERENCE, Table, cautions, comparison_tables, failures
from pmodel.reporting.conditions import conditions, remarks
from pmodel.reporting.texts import error_text, value_text
from pmodel.runs.results import Number


def comparison_html(results: dict[str, Any]) -> str:
    """A table for all runs on the same data: a row for each number, a column for each run; the best in bold type."""
    parts = [_table(part) for part in comparison_tables(results)]
    failed = [f"<p>Not evaluated: {escape(line)}</p>" for line in failures(results)]
    return "\n".join([*parts, *failed])


def _table(part: Table) -> str:
    referred = any(column.reference for column in part.columns)
    heads = ["", *part.heads, *([REFERENCE] if referred else [])]
    rows = ["<tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>"]
    for column in part.columns:
        cells = [_cell(number, best) for number, best in zip(column.numbers, column.best, strict=True)]
        reference = [_cell(column.reference) if column.reference else "<td></td>"] * referred
        name = escape(column.titled(column.unit))
        rows.append(f"<tr><td>{name}</td>{''.join([*cells, *reference])}</tr>")
    marked = [f"bold type marks {MARKED}"] if any(any(column.best) for column in part.columns) else []
    notes = [*conditions(part), *([ERROR] if part.has_errors else []), *remarks(part), *marked, *cautions(part.columns)]
    about = escape(f"{part.examples} of {part.heading}; {'; '.join(notes)}")
    return f"<table>{''.join(rows)}</table><p>{about}</p>"


def _cell(number: Number | None, best: bool = False) -> str:
    if number is None:
        return "<td>–</td>"
    value, error = escape(value_text(number)), error_text(number)
    value = f"<b>{value}</b>" if best else value
    return f"<td>{value}{f' ± {escape(error)}' if error else ''}</td>"
