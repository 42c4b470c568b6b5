"""Under which conditions the numbers of a table were measured, said once for all of them."""

from pmodel.reporting.comparison import Column, Table
from pmodel.reporting.texts import examples_text, grouped
from pmodel.runs.results import Number


def conditions(table: Table) -> list[str]:
    """Counts of samples and of real examples, and the feature network with its hash: what most numbers have, and in
    brackets those that have another: "samples: 2,000 (memorization: 1,000)"."""
    lines = []
    for title in ("samples", "real examples", "features"):
        found = grouped(
            (value, column)
            for column in table.columns
            for value in dict.fromkeys(_conditions(number)[title] for number in column.numbers if number)
            if value
        )
        if found:
            usual = max(found, key=lambda value: len(found[value]))
            others = [f"{_names(found, value)}: {value}" for value in found if value != usual]
            lines.append(f"{title}: {usual}" + (f" ({'; '.join(others)})" if others else ""))
    return lines


def counted_elsewhere(table: Table) -> dict[str, str]:
    """Numbers that were measured on other real examples than the table's, by their labels: on which."""
    found: dict[str, str] = {}
    for column in table.columns:
        places = [(number.get("count"), number["split"]) for number in column.numbers if number and "split" in number]
        texts = dict.fromkeys(examples_text(*place) for place in places if place[1] != "drawn")
        if texts and list(texts) != [table.examples]:
            found[column.label] = " or ".join(texts)
    return found


def remarks(table: Table) -> list[str]:
    """A line for each number that is one beside the main number, or that was measured on other real examples."""
    lines = [f"{column.label}: {column.remark}" for column in table.columns if column.remark]
    return lines + [f"{label}: on {examples}" for label, examples in counted_elsewhere(table).items()]


def _names(found: dict[str, list[Column]], value: str) -> str:
    """The columns that have this value: a whole group in a word."""
    names = []
    for column in found[value]:
        others = [other.group for own, columns in found.items() if own != value for other in columns]
        names.append(column.label if column.group in others else column.group)
    return ", ".join(dict.fromkeys(names))


def _conditions(number: Number) -> dict[str, str]:
    """What `conditions` says of one number, "" where it has none."""
    protocol = number.get("protocol", {})
    drawn = number["count"] if number.get("split") == "drawn" else protocol.get("num_generated")
    counts = {"samples": drawn, "real examples": protocol.get("num_real")}
    network = [protocol[key] for key in ("feature_network", "feature_hash") if key in protocol]
    texts = {title: "" if count is None else f"{count:,}" for title, count in counts.items()}
    return texts | {"features": ", ".join(network)}
