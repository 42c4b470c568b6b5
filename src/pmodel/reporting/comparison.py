"""Runs × numbers: what stands side by side, what is best, and why something is missing; the same for every reader."""

import json
import math
from collections import ChainMap
from typing import Any, NamedTuple, get_args

from pmodel.reporting.headings import data_title, differences
from pmodel.reporting.texts import (
    as_typed,
    error_text,
    examples_text,
    grouped,
    in_words,
    is_finite,
    label_of,
    label_text,
    made,
)
from pmodel.runs.results import Group, Number

GROUPS = get_args(Group)
KINDS = ("exact", "bound", "estimate", None)
# Entries of a protocol that are a model's own, and no difference in the measurement: a Parzen window is as wide as
# suits its samples, a code as long as it is.
OF_MODEL = {"sigma", "code_dim", "median_distance_of_samples", "num_parameters", "converged", "regularized_nats"}
OF_MODEL |= {"answer", "error_of_one_estimate"}
# Groups of numbers that are no quality of a model: none is marked best.
UNMARKED = {"cost"}
MARKED = "the best of those measured alike, and what is within the standard error of it"
ERROR = "± is the standard error"
REFERENCE = "real training examples"


class Column(NamedTuple):
    """One number of several runs.

    numbers: one for each run, None where it has none
    notes: for each run that has none, the place of the reason in the table's footnotes
    best: for each run, whether its value is the best or within the standard error of it; nowhere true unless at least
        two were measured alike, without caveats, and differ
    difference: what keeps them from being held against each other, "" where nothing does
    caveats: why some of them are no quality of their models, and for each reason the runs
    skill: what a model is good at that has a good value, "" if it is no main number
    """

    name: str
    label: str
    unit: str
    group: str
    kind: str | None
    better: str | None
    ideal: float | None
    numbers: list[Number | None]
    notes: list[int | None]
    reference: Number | None
    best: list[bool]
    difference: str
    caveats: dict[str, list[str]]
    skill: str

    @property
    def remark(self) -> str:
        """In half a line what it is beside the main number, "" for that one."""
        return next((number["remark"] for number in self.numbers if number and "remark" in number), "")

    @property
    def direction(self) -> str:
        """An arrow to where it is better, or in brackets the value that is best, "" where nothing is."""
        ideal = "" if self.ideal is None else f"({self.ideal:g} is ideal)"
        return {"lower": "↓", "higher": "↑"}.get(self.better, ideal)

    def titled(self, *more: str | None) -> str:
        """The label with more about it, such as the unit, and where it is better."""
        return f"{', '.join(filter(None, [self.label, *more]))} {self.direction}".rstrip()


class Table(NamedTuple):
    """Runs on the same data, and their numbers.

    title: the data's name
    heading: the title, and what tells its data from those of other tables of that title
    examples: how many of which split, "250 test examples"
    footnotes: for each reason the runs that lack a number for it
    absent: a line for each reason why no run, or some runs, lack numbers that have no column
    """

    title: str
    heading: str
    examples: str
    runs: list[dict[str, Any]]
    columns: list[Column]
    footnotes: dict[str, list[str]]
    absent: list[str]

    @property
    def has_errors(self) -> bool:
        """Whether some number has a standard error."""
        return any(number and error_text(number) for column in self.columns for number in column.numbers)

    @property
    def labels(self) -> list[str]:
        return [run["label"] for run in self.runs]

    @property
    def heads(self) -> list[str]:
        """The labels, and beside them how a training ended that did not reach its end."""
        return [label_text(run) for run in self.runs]


def comparison_tables(results: dict[str, Any]) -> list[Table]:
    """The runs of a results document in tables: one for all runs whose data are equal, in the order of the document."""
    together = grouped((json.dumps(run["data"], sort_keys=True), run) for run in results["runs"])
    told = differences([runs[0]["data"] for runs in together.values()])
    return [_table(runs, part, results["split"]) for runs, part in zip(together.values(), told, strict=True)]


def failures(results: dict[str, Any]) -> list[str]:
    """A line for each run that could not be evaluated: its name, its directory, and why."""
    return [f"{run['label']} ({run['run']}): {run['reason']}" for run in results.get("failed", [])]


def not_ranked(columns: list[Column]) -> list[str]:
    """A line for each caveat: which numbers have it, and of which runs."""
    found = grouped(
        ((caveat, tuple(labels)), column.label) for column in columns for caveat, labels in column.caveats.items()
    )
    return [f"{caveat}: {', '.join(names)} ({', '.join(labels)})" for (caveat, labels), names in found.items()]


def cautions(columns: list[Column]) -> list[str]:
    """A line for each reason why numbers are not held against each other."""
    different = [
        f"{column.label}: measured differently: {column.difference}" for column in columns if column.difference
    ]
    return [f"not ranked: {line}" for line in not_ranked(columns)] + different


def _table(runs: list[dict[str, Any]], told: dict[str, Any], split: str) -> Table:
    found = [{number["name"]: number for number in run["numbers"]} for run in runs]
    references = {number["name"]: number for run in reversed(runs) for number in run.get("references", [])}
    columns: list[Column] = []
    footnotes: dict[str, dict[str, None]] = {}
    # Numbers of one name share what is declared of it: a bound never stands below an exact value.
    firsts = ChainMap(*found)
    for name in sorted(dict.fromkeys(name for own in found for name in own), key=lambda name: _rank(firsts[name])):
        numbers = [own.get(name) for own in found]
        notes: list[int | None] = [None] * len(runs)
        for i, run in enumerate(runs):
            if numbers[i] is None:
                reasons = {missing["name"]: missing["reason"] for missing in run["missing"]}
                reason = reasons.get(name, "not measured")
                footnotes.setdefault(reason, {})[run["label"]] = None
                notes[i] = list(footnotes).index(reason)
        columns.append(_column(firsts[name], runs, numbers, notes, references.get(name)))
    title = data_title(runs[0]["data"])
    return Table(
        title=title,
        heading=", ".join([title, *(f"{key}: {as_typed(value)}" for key, value in told.items())]),
        examples=examples_text(runs[0]["data"].get("split_sizes", {}).get(split), split),
        runs=runs,
        columns=columns,
        footnotes={reason: list(users) for reason, users in footnotes.items()},
        absent=left_out(
            [run["label"] for run in runs],
            [
                (missing["reason"], label_of(missing), run["label"])
                for run in runs
                for missing in run["missing"]
                if missing["name"] not in firsts
            ],
        ),
    )


def _column(
    first: Number,
    runs: list[dict[str, Any]],
    numbers: list[Number | None],
    notes: list[int | None],
    reference: Number | None,
) -> Column:
    better = first.get("better")
    difference = _difference(numbers, runs) if better else ""
    return Column(
        name=first["name"],
        label=label_of(first),
        unit="" if first["unit"] == "of 1" else first["unit"],  # a share needs no word
        group=first["group"],
        kind=first.get("kind"),
        better=better,
        ideal=first.get("ideal"),
        numbers=numbers,
        notes=notes,
        reference=reference,
        best=[False] * len(runs) if difference or first["group"] in UNMARKED else _best(numbers, better),
        difference=difference,
        caveats=grouped(
            (caveat, run["label"])
            for run, number in zip(runs, numbers, strict=True)
            for caveat in (number or {}).get("caveats", [])
        ),
        skill=first.get("skill", ""),
    )


def _rank(number: Number) -> tuple[int, int]:
    """Where its column stands among those of other groups and kinds; else they keep the order in which they occur."""
    return GROUPS.index(number["group"]), KINDS.index(number.get("kind"))


def left_out(labels: list[str], lacking: list[tuple[str, str, str]]) -> list[str]:
    """In one line what the same runs lack for the same reason, and which runs if not all of these labels.

    lacking: of each that a run lacks the reason, its words and the run's label
    """
    users = grouped(((reason, words), label) for reason, words, label in lacking)
    together = grouped(((reason, tuple(of)), words) for (reason, words), of in users.items())
    lines = []
    for (reason, of), words in together.items():
        which = "" if set(of) == set(labels) else f" ({', '.join(of)})"
        lines.append(f"{in_words(reason)}{which}: {', '.join(words)}")
    return lines


def _difference(numbers: list[Number | None], runs: list[dict[str, Any]]) -> str:
    """How numbers of one name were measured differently: split, count, and the protocol's entries that they share."""
    measured = [(run["label"], made(number)) for run, number in zip(runs, numbers, strict=True) if number is not None]
    differences = []
    for key in dict.fromkeys(key for _, entries in measured for key in entries if key not in OF_MODEL):
        users = grouped((as_typed(entries[key]), label) for label, entries in measured if key in entries)
        if len(users) > 1:
            parts = ", ".join(f"{value} ({', '.join(labels)})" for value, labels in users.items())
            differences.append(f"{key} {parts}")
    return "; ".join(differences)


def is_ranked(number: Number | None) -> bool:
    """Whether there is a number that can be held against others: finite and without caveats."""
    return number is not None and is_finite(number["value"]) and not number.get("caveats")


def beats(number: Number, other: Number) -> bool:
    """Whether it is better than another by more than the standard errors of both, combined."""
    lead = _ranked(other) - _ranked(number)
    return (lead if number["better"] == "lower" else -lead) > 0 and not _is_near(number, other)


def _best(numbers: list[Number | None], better: str | None) -> list[bool]:
    """Which are the best, or so near to it that the standard errors of both, combined, exceed the difference."""
    finite = [number for number in numbers if number is not None and is_ranked(number)]
    if better is None or len({_ranked(number) for number in finite}) < 2:
        return [False] * len(numbers)
    value = (min if better == "lower" else max)(map(_ranked, finite))
    # Of equal ones the most certain: what is near to a vague one need not be near to the best.
    best = min((number for number in finite if _ranked(number) == value), key=lambda number: _error(number, math.inf))
    return [number in finite and _is_near(number, best) for number in numbers]


def _error(number: Number, otherwise: float) -> float:
    """Its standard error, or where it has none something else."""
    error = number.get("standard_error")
    return error if is_finite(error) else otherwise


def _ranked(number: Number) -> float:
    """The value that counts: an estimate below the least that the true value can be, or that does not differ from it by
    more than its error, is that least."""
    value, least = number["value"], number.get("least")
    return least if least is not None and value - _error(number, 0.0) <= least else value


def _is_near(number: Number, best: Number) -> bool:
    distance, errors = abs(_ranked(number) - _ranked(best)), [_error(each, math.nan) for each in (number, best)]
    return distance == 0 or distance < math.hypot(*errors)
