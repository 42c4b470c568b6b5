"""The results of one or several runs as a page that needs nothing else: models at a glance, topics, how it was made."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pmodel.reporting.comparison import ERROR, MARKED, REFERENCE, Column, Table, comparison_tables, failures, not_ranked
from pmodel.reporting.conditions import conditions, remarks
from pmodel.reporting.facts import Fact, facts
from pmodel.reporting.page_widgets import page_widgets, script
from pmodel.reporting.report_images import PageImage, image_of
from pmodel.reporting.texts import (
    as_typed,
    bits_text,
    error_text,
    flat,
    grouped,
    label_text,
    listed,
    made,
    rounded,
    value_text,
)
from pmodel.reporting.topics import GLANCE, missing_lines, topics, unasked
from pmodel.reporting.verdicts import verdict

TEMPLATES = Path(__file__).parent / "templates"
# What differs between any two runs and says nothing about them: where files lie.
PLACES = {"dir", "dirpath", "path"}


class Card(NamedTuple):
    """A run on the first screen.

    image: what it makes, None where it has no such figure
    diagnosis: lines on its training
    """

    run: dict[str, Any]
    image: PageImage | None
    verdict: str
    facts: list[Fact]
    diagnosis: list[str]


def write_report(results: dict[str, Any], folder: Path, picture_height: int | None) -> Path:
    """Writes report.html into the folder of a results document (schema 2), below which its figures lie; its path.

    One file: images are inside, nothing is fetched, and no script runs but its own, which shows what can be moved. All
    texts of the document are escaped.

    picture_height: of images in the topics, in pixels; None: such that the images of one figure stand in one row
    """
    folder = Path(folder)
    tables = comparison_tables(results)
    runs = results["runs"]
    found = topics(results, tables, folder)
    shared, own = _settings(runs)
    widgets, not_tried = page_widgets(results, folder)
    page = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            results=results,
            runs=runs,
            title=_title(runs, tables),
            introduction=_introduction(results, tables),
            tables=tables,
            cards=[(table, [_card(table, row, folder) for row in range(len(table.runs))]) for table in tables],
            unasked=unasked(results, found),
            topics=found,
            failed=failures(results),
            missing=[(table, missing_lines(results, table)) for table in tables],
            shared_settings=shared,
            own_settings=own,
            picture_height=picture_height,
            widgets=widgets,
            not_tried=not_tried,
            script=script(),
        )
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "value": value_text,
        "error": error_text,
        "bits": bits_text,
        "flat": flat,
        "typed": as_typed,
        "shown": label_text,
        "not_ranked": not_ranked,
        "conditions": conditions,
        "remarks": remarks,
        "by_kind": _by_kind,
        "protocol": _protocol,
    }
    environment.globals |= {"ERROR": ERROR, "MARKED": MARKED, "REFERENCE": REFERENCE}
    return environment


def _card(table: Table, row: int, folder: Path) -> Card:
    run, image = table.runs[row], None
    if GLANCE in run["figures"]:
        image = image_of((folder / run["figures"][GLANCE]).read_bytes(), f"What {run['label']} makes")
    return Card(run, image, verdict(table, row), facts(table, row), run.get("diagnosis", []))


def _title(runs: list[dict[str, Any]], tables: list[Table]) -> str:
    names = listed(list(dict.fromkeys(table.title for table in tables)) or ["no data"])
    return f"{runs[0]['label']} on {names}" if len(runs) == 1 else f"{len(runs)} models on {names}"


def _introduction(results: dict[str, Any], tables: list[Table]) -> str:
    """What was evaluated, on what, and how many examples of it."""
    runs = results["runs"]
    alone = len(runs) == 1
    subject = f"One trained model, {label_text(runs[0])}, is" if alone else f"{len(runs)} trained models are"
    places = dict.fromkeys(f"the {table.examples} of {table.title}" for table in tables)
    first = f"{subject} evaluated on {'; on '.join(places)}."
    if results["split"] == "test":
        first += " No model was trained on these examples."
    if len(tables) > 1:
        first += " Runs on different data stand apart, since their numbers do not compare."
    return first


def _by_kind(columns: list[Column]) -> dict[str, list[Column]]:
    """Columns of one group by kind; none for all of them if they have none."""
    return grouped((column.kind or "", column) for column in columns)


def _protocol(column: Column, table: Table) -> dict[str, str]:
    """How a number was made, without what the data say for all; where runs differ, the value of each.

    Floats in four significant digits.
    """
    data = flat(table.runs[0]["data"])
    protocols = [(label, made(number)) for label, number in zip(table.labels, column.numbers, strict=True) if number]
    entries = {}
    for key in dict.fromkeys(key for _, protocol in protocols for key in protocol):
        users = grouped((rounded(own[key]) if key in own else "–", label) for label, own in protocols)
        if key not in data or list(users) != [rounded(data[key])]:
            parts = [value if len(users) == 1 else f"{value} ({', '.join(labels)})" for value, labels in users.items()]
            entries[key] = "; ".join(parts)
    return entries


def _settings(runs: list[dict[str, Any]]) -> tuple[dict[str, list[str]], list[tuple[str, dict[str, str]]]]:
    """Settings that differ: those that at least two runs have, a value for each run, and what only one run has."""
    if len(runs) < 2:
        return {}, []
    settings = [{key: as_typed(v) for key, v in flat(run.get("config", {})).items() if _tells(key)} for run in runs]
    counts = Counter(key for run in settings for key in run)
    values = {key: [run.get(key, "") for run in settings] for key, count in counts.items() if count > 1}
    shared = {key: of_runs for key, of_runs in values.items() if len(set(of_runs)) > 1}
    own = [
        (run["label"], {key: value for key, value in entries.items() if counts[key] == 1})
        for run, entries in zip(runs, settings, strict=True)
    ]
    return shared, [(label, entries) for label, entries in own if entries]


def _tells(key: str) -> bool:
    last = key.rpartition(".")[2]
    return not (key.startswith(("paths.", "hydra.")) or last in PLACES or last.endswith("_dir"))
