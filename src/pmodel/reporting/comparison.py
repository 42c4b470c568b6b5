"""Runs × numbers: what stands side by side, what is best, and why something is missing; the same for every reader."""

import json
import math
from typing import Any, NamedTuple

from pmodel.reporting.results import Number
from pmodel.reporting.summary import format_value

GROUPS = ("likelihood", "samples", "memorization", "reconstruction", "clusters", "codes", "cost")
KINDS = ("exact", "bound", "estimate")
# Entries of a protocol that are a model's own, and no difference in the measurement: a Parzen window is as wide as
# suits its samples, a code as long as it is.
OF_MODEL = {"sigma", "code_dim", "median_distance_of_samples"}
FLOOR = "real training examples"


class Column(NamedTuple):
    """One number of several runs.

    numbers: one for each run, None where it has none
    notes: for each run that has none, the place of the reason in the table's footnotes
    best: for each run, whether its value is the best; nowhere true unless at least two were measured alike
    difference: what keeps them from being held against each other, "" where nothing does
    """

    name: str
    unit: str
    group: str
    kind: str | None
    better: str | None
    numbers: list[Number | None]
    notes: list[int | None]
    floor: Number | None
    best: list[bool]
    difference: str


class Footnote(NamedTuple):
    """A reason, and the runs that lack a number for it."""

    reason: str
    runs: list[str]


class Absence(NamedTuple):
    """A number that no run of a table has, a reason, and the runs that lack it for that."""

    name: str
    reason: str
    runs: list[str]


class Table(NamedTuple):
    """Runs on the same data, and their numbers.

    title: the data's name
    differences: the entries in which its data differ from those of other tables
    """

    title: str
    differences: dict[str, Any]
    runs: list[dict[str, Any]]
    columns: list[Column]
    footnotes: list[Footnote]
    absent: list[Absence]

    @property
    def labels(self) -> list[str]:
        return [run["label"] for run in self.runs]

    @property
    def heading(self) -> str:
        """The title and what differs, in one line."""
        return ", ".join([self.title, *(f"{key}: {as_typed(value)}" for key, value in self.differences.items())])


def comparison_tables(results: dict[str, Any]) -> list[Table]:
    """The runs of a results document in tables: one for all runs whose data are equal, in the order of the document."""
    together: dict[str, list[dict[str, Any]]] = {}
    for run in results["runs"]:
        together.setdefault(json.dumps(run["data"], sort_keys=True), []).append(run)
    data = [flat(runs[0]["data"]) for runs in together.values()]
    keys = [key for key in dict.fromkeys(key for entries in data for key in entries) if key != "data"]
    differing = [key for key in keys if len({as_typed(entries.get(key)) for entries in data}) > 1]
    return [
        _table(runs, {key: entries.get(key) for key in differing})
        for runs, entries in zip(together.values(), data, strict=True)
    ]


def _table(runs: list[dict[str, Any]], differences: dict[str, Any]) -> Table:
    data = runs[0]["data"]
    title = " ".join(str(data[key]) for key in ("data", "name") if data.get(key)) or "data"
    found = [{_key(number): number for number in run["numbers"]} for run in runs]
    floors = {number["name"]: number for run in reversed(runs) for number in run.get("floors", [])}
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
        difference = _difference(numbers, runs) if better else ""
        best = [False] * len(runs) if difference else _best(numbers, better)
        group, kind, name, unit = key
        shown_unit = "" if unit == "of 1" else unit  # a share needs no word
        columns.append(
            Column(name, shown_unit, group, kind, better, numbers, notes, floors.get(name), best, difference)
        )
    footnotes = [Footnote(reason, users) for reason, users in reasons.items()]
    return Table(title, differences, runs, columns, footnotes, _absent(runs, [column.name for column in columns]))


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
    """Why a run lacks a number: that of its very name, or of a name that it continues, as a bound's with its K."""
    _, _, name, _ = key
    for missing in sorted(run["missing"], key=lambda missing: missing["name"] != name):
        if _continues(name, missing["name"]):
            return missing["reason"]
    other = next((number for number in run["numbers"] if number["name"] == name), None)
    if other is not None:
        return f"stands in another column, {other.get('kind') or other['unit']}"
    return "not measured"


def _continues(name: str, shorter: str) -> bool:
    return name == shorter or name.startswith((f"{shorter} (", f"{shorter}, "))


def _absent(runs: list[dict[str, Any]], present: list[str]) -> list[Absence]:
    """What some run says to lack, and no column is of."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for missing in run["missing"]:
            if not any(_continues(name, missing["name"]) for name in present):
                found.setdefault((missing["name"], missing["reason"]), []).append(run["label"])
    return [Absence(name, reason, users) for (name, reason), users in found.items()]


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
    values = [number["value"] if number is not None and is_finite(number["value"]) else None for number in numbers]
    comparable = [value for value in values if value is not None]
    if better is None or len(comparable) < 2:
        return [False] * len(values)
    best = min(comparable) if better == "lower" else max(comparable)
    return [value == best for value in values]


def is_finite(value: float | None) -> bool:
    """Whether a number has a value: NaN and infinities stand as null in a file."""
    return value is not None and math.isfinite(value)


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"a.b.c": value}; lists and empty dicts are values."""
    entries: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict) and value:
            entries |= flat(value, f"{prefix}{key}.")
        else:
            entries[f"{prefix}{key}"] = value
    return entries


def as_typed(value: Any) -> str:
    """A setting as one types it: null, true, 0.001, [1, 28, 28], words without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def value_text(number: Number) -> str:
    """The value as all tables write it."""
    return format_value(number["value"]) if is_finite(number["value"]) else "not finite"


def error_text(number: Number) -> str:
    """The standard error in two digits, "" where there is none."""
    error = number.get("standard_error")
    if not is_finite(error):
        return ""
    return f"{error:,.0f}" if error >= 10 else f"{error:.2g}"


def bits_text(number: Number) -> str:
    """Bits per dimension, "" where there are none."""
    return f"{number['bits_per_dim']:.3f}" if is_finite(number.get("bits_per_dim")) else ""
