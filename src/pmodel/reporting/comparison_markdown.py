"""The numbers of runs side by side as a Markdown table, to be pasted elsewhere."""

from typing import Any

from pmodel.reporting.comparison import ERROR, MARKED, REFERENCE, Table, cautions, comparison_tables, failures
from pmodel.reporting.conditions import conditions, remarks
from pmodel.reporting.texts import bits_text, error_text, in_words, value_text
from pmodel.runs.results import Number


def comparison_markdown(results: dict[str, Any]) -> str:
    """A table for all runs on the same data: a row for each number, a column for each run; the best in bold type."""
    parts = []
    for part in comparison_tables(results):
        referred = any(column.reference for column in part.columns)
        head = ["", *map(_escaped, part.heads), *([REFERENCE] if referred else [])]
        rows = [head, ["---", *["---:"] * (len(head) - 1)]]
        for column in part.columns:
            cells = [_cell(*each) for each in zip(column.numbers, column.best, column.notes, strict=True)]
            reference = _cell(column.reference) if column.reference else ""
            kind = column.kind if column.kind and column.kind not in column.label else None
            rows.append([_escaped(column.titled(kind, column.unit)), *cells, *([reference] * referred)])
        parts.append(f"**{_escaped(f'{part.examples} of {part.heading}')}**")
        parts.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
        notes = _notes(part)
        parts += ["\n".join(f"- {_escaped(note)}" for note in notes)] if notes else []
        reasons = [f"{i}. {_escaped(in_words(reason))}" for i, reason in enumerate(part.footnotes, start=1)]
        parts += ["\n".join(reasons)] if reasons else []
        if part.absent:
            parts.append("\n".join(["Not measured:", "", *(f"- {_escaped(line)}" for line in part.absent)]))
    if failed := failures(results):
        parts.append("\n".join(["Not evaluated:", "", *(f"- {_escaped(line)}" for line in failed)]))
    return "\n\n".join(parts) + "\n"


def _notes(part: Table) -> list[str]:
    """What all numbers share, what bold type means, and what was measured differently."""
    marked = [f"bold type marks {MARKED}"] if any(any(column.best) for column in part.columns) else []
    return [*conditions(part), *([ERROR] if part.has_errors else []), *remarks(part), *marked, *cautions(part.columns)]


def _cell(number: Number | None, best: bool = False, note: int | None = None) -> str:
    if number is None:
        return f"–<sup>{note + 1}</sup>"
    value, error, bits = value_text(number), error_text(number), bits_text(number)
    value = f"**{value}**" if best else value
    return value + (f" ± {error}" if error else "") + (f" ({bits} bits/dim)" if bits else "")


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "|<>*_`[]\\" else letter for letter in text)
