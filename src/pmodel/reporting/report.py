"""The results of one or several runs as a page that needs nothing else: numbers, images, and how they were made."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pmodel.plots.plots import rows_and_columns
from pmodel.reporting.comparison import ERROR, MARKED, REFERENCE, Column, Table, comparison_tables, failures, not_ranked
from pmodel.reporting.conditions import conditions, remarks
from pmodel.reporting.report_images import PageImage, curves_of, image_of
from pmodel.reporting.texts import as_typed, bits_text, error_text, flat, grouped, label_text, made, rounded, value_text

TEMPLATES = Path(__file__).parent / "templates"
# Of groups whose name is no title.
TITLES = {"samples": "Quality of samples", "clusters": "Clusters and labels", "other": "Other numbers"}
# What differs between any two runs and says nothing about them: where files lie.
PLACES = {"dir", "dirpath", "path"}
# Columns of one table; more stand in a second one below.
MOST_COLUMNS = 7


class Section(NamedTuple):
    """One figure of all runs: the images by run, and for each reason the runs that have none."""

    title: str
    explanation: str
    images: list[tuple[dict[str, Any], PageImage]]
    missing: dict[str, list[str]]


def write_report(results: dict[str, Any], folder: Path) -> Path:
    """Writes report.html into the folder of a results document (schema 2), below which its figures lie; its path.

    One file: images are inside, nothing is fetched and no script runs. All texts of the document are escaped.
    """
    folder = Path(folder)
    tables = comparison_tables(results)
    runs = results["runs"]
    drawn = {name for run in runs for name in run["figures"]}
    names = dict.fromkeys(["samples", *results["captions"], *sorted(drawn)])
    sections = [_section(results, name, folder) for name in names if name == "samples" or name in drawn]
    shared, own = _settings(runs)
    page = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            results=results,
            runs=runs,
            title=_title(runs, tables),
            introduction=_introduction(results, tables),
            tables=tables,
            sections=sections,
            failed=failures(results),
            curves=curves_of(runs),
            shared_settings=shared,
            own_settings=own,
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
        "by_group": _by_group,
        "shown": label_text,
        "not_ranked": not_ranked,
        "conditions": conditions,
        "remarks": remarks,
        "by_kind": _by_kind,
        "protocol": _protocol,
    }
    environment.globals |= {"ERROR": ERROR, "MARKED": MARKED, "REFERENCE": REFERENCE, "TITLES": TITLES}
    return environment


def _title(runs: list[dict[str, Any]], tables: list[Table]) -> str:
    *names, last = dict.fromkeys(table.title for table in tables) or ["no data"]
    names = f"{', '.join(names)} and {last}" if names else last
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
        first += " Runs on different data stand in tables of their own, since their numbers do not compare."
    return first


def _by_group(columns: list[Column]) -> dict[str, list[list[Column]]]:
    """Columns by group; those of a group in rows that are as full as each other."""
    rows = {}
    for group, own in grouped((column.group, column) for column in columns).items():
        size = rows_and_columns(len(own), MOST_COLUMNS)[1]
        rows[group] = [own[i : i + size] for i in range(0, len(own), size)]
    return rows


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


def _section(results: dict[str, Any], name: str, folder: Path) -> Section:
    runs, known = results["runs"], results["captions"].get(name, {})
    title = known.get("title") or name.replace("_", " ").capitalize()
    images, missing = [], {}
    for run in runs:
        if name in run["figures"]:
            png = (folder / run["figures"][name]).read_bytes()
            images.append((run, image_of(png, f"{title}: {run['label']}, {run['model']}")))
        else:
            missing.setdefault(run["missing_figures"].get(name, "not drawn"), []).append(run["label"])
    return Section(title, known.get("caption", ""), images, missing)


def _settings(runs: list[dict[str, Any]]) -> tuple[dict[str, list[str]], list[tuple[str, dict[str, str]]]]:
    """Settings that differ: those that at least two runs have, a value for each run, and what only one run has."""
    if len(runs) < 2:
        return {}, []
    settings = [{key: as_typed(v) for key, v in flat(run.get("config", {})).items() if _tells(key)} for run in runs]
    counts = Counter(key for run in settings for key in run)
    values = {key: [run.get(key, "–") for run in settings] for key, count in counts.items() if count > 1}
    shared = {key: of_runs for key, of_runs in values.items() if len(set(of_runs)) > 1}
    own = [
        (run["label"], {key: value for key, value in entries.items() if counts[key] == 1})
        for run, entries in zip(runs, settings, strict=True)
    ]
    return shared, [(label, entries) for label, entries in own if entries]


def _tells(key: str) -> bool:
    last = key.rpartition(".")[2]
    return not (key.startswith(("paths.", "hydra.")) or last in PLACES or last.endswith("_dir"))
