"""The few numbers of a run that a reader sees first, each in words."""

from itertools import chain, zip_longest
from typing import NamedTuple

from pmodel.reporting.comparison import Column, Table, is_ranked
from pmodel.reporting.texts import error_text, grouped, in_bits, value_text
from pmodel.reporting.verdicts import skill_of
from pmodel.runs.results import Number

# How many numbers introduce a run.
MOST = 3


class Fact(NamedTuple):
    """A number in words: "1.64 ± 0.01 bits per dimension", "exact likelihood of unseen examples", "lower is better".

    error: "" where there is none
    about: where it is better, and what real examples have
    label: the number's name in the tables
    """

    value: str
    error: str
    unit: str
    words: str
    about: str
    label: str


def facts(table: Table, row: int) -> list[Fact]:
    """The main numbers of the `row`-th run, one of each group in turn; then what its training cost."""
    columns = [column for column in table.columns if is_ranked(column.numbers[row])]
    main: dict[str, Column] = {}
    for column in columns:
        if column.skill:
            main.setdefault(column.skill, column)
    of_groups = grouped((column.group, column) for column in main.values())
    chosen = [column for column in chain(*zip_longest(*of_groups.values())) if column]
    chosen += [column for column in columns if column.group == "cost" and column.better]
    return [_fact(column, row) for column in chosen[:MOST]]


def _fact(column: Column, row: int) -> Fact:
    shown = _shown(column.numbers[row])
    about = [f"{column.better} is better"] if column.better else []
    if column.reference:
        reference = _shown(column.reference)
        about.append(f"real examples: {value_text(reference)}{' %' if reference['unit'] == '%' else ''}")
    words = skill_of(column) or column.label
    return Fact(value_text(shown), error_text(shown), shown["unit"], words, "; ".join(about), column.label)


def _shown(number: Number) -> Number:
    """In the unit that needs the fewest words: bits per dimension of a likelihood, a share in percent."""
    if number["unit"] != "of 1":
        return in_bits(number)
    scaled = {key: 100 * number[key] for key in ("value", "standard_error") if number.get(key) is not None}
    return {**number, **scaled, "unit": "%"}
