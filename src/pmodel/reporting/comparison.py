"""Runs × numbers: what stands side by side, what is best, and why something is missing; the same for every reader."""

import json
import math
from collections import Counter
from typing import Any, NamedTuple

from pmodel.reporting.headings import data_title, differences
from pmodel.reporting.texts import as_typed, direction, error_text, examples_text, flat, is_finite, label_of, label_text
from pmodel.runs.results import Number

GROUPS = ("likelihood", "samples", "memorization", "reconstruction", "clusters", "codes", "cost")
KINDS = ("exact", "bound", "estimate")
# Entries of a protocol that are a model's own, and no difference in the measurement: a Parzen window is as wide as
# suits its samples, a code as long as it is.
OF_MODEL = {
    *("sigma", "code_dim", "median_distance_of_samples"),
    *("num_parameters", "converged", "regularized_nats"),
}
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

    @property
    def remark(self) -> str:
        """In half a line what it is beside the main number, "" for that one."""
        return next((number["remark"] for number in self.numbers if number is not None and "remark" in number), "")

    @property
    def direction(self) -> str:
        """An arrow to where it is better, or the value that is best."""
        return direction(self.better, self.ideal)


class Footnote(NamedTuple):
    """A reason, and the runs that lack a number for it."""

    reason: str
    runs: list[str]


class Absence(NamedTuple):
    """A reason, the labels of the numbers that no run of a table has, and the runs that lack them for it."""

    reason: str
    labels: list[str]
    runs: list[str]


class Table(NamedTuple):
    """Runs on the same data, and their numbers.

    title: the data's name
    differences: the entries that tell its data from those of other tables of that title
    examples: how many of which split, "250 test examples"
    """

    title: str
    differences: dict[str, Any]
    examples: str
    runs: list[dict[str, Any]]
    columns: list[Column]
    footnotes: list[Footnote]
    absent: list[Absence]

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

    @property
    def heading(self) -> str:
        """The title and what differs, in one line."""
        return ", ".join([self.title, *(f"{key}: {as_typed(value)}" for key, value in self.differences.items())])


def comparison_tables(results: dict[str, Any]) -> list[Table]:
    """The runs of a results document in tables: one for all runs whose data are equal, in the order of the document."""
    together: dict[str, list[dict[str, Any]]] = {}
    for run in results["runs"]:
        together.setdefault(json.dumps(run["data"], sort_keys=True), []).append(run)
    told = differences([runs[0]["data"] for runs in together.values()])
    return [_table(runs, part, results["split"]) for runs, part in zip(together.values(), told, strict=True)]


def failures(results: dict[str, Any]) -> list[str]:
    """A line for each run that could not be evaluated: its name, its directory, and why."""
    return [f"{run['label']} ({run['run']}): {run['reason']}" for run in results.get("failed", [])]


def absences(table: Table) -> list[str]:
    """A line for each reason: what is not measured for it, and of which runs if not of all."""
    lines = []
    for reason, labels, runs in table.absent:
        users = "" if set(runs) == set(table.labels) else f" ({', '.join(runs)})"
        lines.append(f"{reason}{users}: {', '.join(labels)}")
    return lines


def not_ranked(columns: list[Column]) -> list[str]:
    """A line for each caveat: which numbers have it, and of which runs."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for column in columns:
        for caveat, labels in column.caveats.items():
            found.setdefault((caveat, tuple(labels)), []).append(column.label)
    return [f"{caveat}: {', '.join(names)} ({', '.join(labels)})" for (caveat, labels), names in found.items()]


def _table(runs: list[dict[str, Any]], told: dict[str, Any], split: str) -> Table:
    data = runs[0]["data"]
    found = [{_key(number): number for number in run["numbers"]} for run in runs]
    references = {number["name"]: number for run in reversed(runs) for number in run.get("references", [])}
    reasons: dict[str, list[str]] = {}
    columns = []
    for key in sorted(dict.fromkeys(key for numbers in found for key in numbers), key=_rank):
        numbers = [by_key.get(key) for by_key in found]
        notes: list[int | None] = [None] * len(runs)
        for i, run in enumerate(runs):
            if numbers[i] is None:
                reason = _reason(run, key)
                users = reasons.setdefault(reason, [])
                if run["label"] not in users:
                    users.append(run["label"])
                notes[i] = list(reasons).index(reason)
        measured = [number for number in numbers if number is not None]
        better = next((number["better"] for number in measured if "better" in number), None)
        ideal = next((number["ideal"] for number in measured if "ideal" in number), None)
        difference = _difference(numbers, runs) if better else ""
        group, kind, name, unit = key
        best = [False] * len(runs) if difference or group in UNMARKED else _best(numbers, better)
        shown_unit = "" if unit == "of 1" else unit  # a share needs no word
        caveats: dict[str, list[str]] = {}
        for run, number in zip(runs, numbers, strict=True):
            for caveat in (number or {}).get("caveats", []):
                caveats.setdefault(caveat, []).append(run["label"])
        label, reference = label_of(measured[0]), references.get(name)
        rest = better, ideal, numbers, notes, reference, best, difference, caveats
        columns.append(Column(name, label, shown_unit, group, kind, *rest))
    footnotes = [Footnote(reason, users) for reason, users in reasons.items()]
    absent = _absent(runs, {column.name for column in columns})
    return Table(data_title(data), told, _examples(runs, split), runs, columns, footnotes, absent)


def _examples(runs: list[dict[str, Any]], split: str) -> str:
    """How many examples of the split most numbers were measured on; of none, how many the data have."""
    measured = [number for run in runs for number in run["numbers"] if number.get("split") == split]
    counts = Counter(number["count"] for number in measured if "count" in number)
    size = (runs[0]["data"].get("split_sizes") or {}).get(split)
    return examples_text(counts.most_common(1)[0][0] if counts else size, split)


def _key(number: Number) -> tuple[str, str | None, str, str]:
    """What one column has in common: a bound never stands below an exact value, nor nats below bits."""
    return number.get("group", "other"), number.get("kind"), number["name"], number["unit"]


def _rank(key: tuple[str, str | None, str, str]) -> tuple[int, int]:
    """Where its column stands among those of other groups and kinds; else they keep the order in which they occur."""
    group, kind, _, _ = key
    return (
        GROUPS.index(group) if group in GROUPS else len(GROUPS),
        KINDS.index(kind) if kind in KINDS else len(KINDS),
    )


def _reason(run: dict[str, Any], key: tuple[str, str | None, str, str]) -> str:
    """Why a run lacks a number."""
    _, _, name, _ = key
    for missing in run["missing"]:
        if missing["name"] == name:
            return missing["reason"]
    other = next((number for number in run["numbers"] if number["name"] == name), None)
    if other is not None:
        return f"stands in another column, {other.get('kind') or other['unit']}"
    return "not measured"


def _absent(runs: list[dict[str, Any]], present: set[str]) -> list[Absence]:
    """What some run says to lack, and no column is of: in one place what the same runs lack for the same reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for missing in run["missing"]:
            if missing["name"] not in present:
                found.setdefault((missing["reason"], label_of(missing)), []).append(run["label"])
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (reason, label), users in found.items():
        together.setdefault((reason, tuple(users)), []).append(label)
    return [Absence(reason, labels, list(users)) for (reason, users), labels in together.items()]


def _difference(numbers: list[Number | None], runs: list[dict[str, Any]]) -> str:
    """How numbers of one name were measured differently: split, count, and the protocol's entries that they share."""
    measured = [(run["label"], _made(number)) for run, number in zip(runs, numbers, strict=True) if number is not None]
    differences = []
    for key in dict.fromkeys(key for _, made in measured for key in made):
        users: dict[str, list[str]] = {}
        for label, made in measured:
            if key in made:
                users.setdefault(as_typed(made[key]), []).append(label)
        if len(users) > 1:
            parts = ", ".join(f"{value} ({', '.join(labels)})" for value, labels in users.items())
            differences.append(f"{key} {parts}")
    return "; ".join(differences)


def _made(number: Number) -> dict[str, Any]:
    """How a number was made, as far as it has to be the same for all."""
    entries = {key: number[key] for key in ("split", "count") if key in number}
    protocol = flat(number.get("protocol", {}))
    return entries | {key: value for key, value in protocol.items() if key not in OF_MODEL}


def _best(numbers: list[Number | None], better: str | None) -> list[bool]:
    """Which are the best, or so near to it that the standard errors of both, combined, exceed the difference."""
    finite = [n for n in numbers if n is not None and is_finite(n["value"]) and not n.get("caveats")]
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
