"""The parts of a page: for each topic its figures, its numbers, and in words who can't answer."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from pmodel.plots.plots import rows_and_columns
from pmodel.reporting.comparison import Column, Table, left_out
from pmodel.reporting.report_images import PageImage, curves_of, image_of
from pmodel.reporting.texts import grouped, label_text, listed

# The topics in their order: the title of each, and the groups of numbers and figures that it has. A group that stands
# nowhere here is a topic of its own.
TOPICS = {
    "Samples": ("samples", "memorization"),
    "Likelihood": ("likelihood",),
    "Completions": ("completions",),
    "Reconstructions": ("reconstruction",),
    "Codes": ("codes",),
    "Clusters and labels": ("clusters",),
    "Films": ("films",),
    "Training and cost": ("cost",),
}
# Of numbers whose group's name is no title.
TITLES = {"samples": "Quality of samples", "clusters": "Clusters and labels", "cost": "Cost"}
# What models are asked for in a group, and the methods of which one is enough to answer.
ASKED = {
    "samples": ("samples", ("sample",)),
    "likelihood": ("a likelihood", ("log_prob", "elbo", "log_prob_estimate")),
    "completions": ("completions", ("complete",)),
    "reconstruction": ("reconstructions", ("reconstruct",)),
    "codes": ("codes", ("encode",)),
    "clusters": ("clusters", ("assign",)),
}
LACKS = re.compile(r"the model has no (\w+)")
# Reasons that are no news where a number of the topic is there: another one stands in its place.
USUAL = ("the model has no ", "its log_prob ", "its elbo ")
# Columns of one table; more stand in a second one below.
MOST_COLUMNS = 7
# A row of images on a screen that is 1280 pixels wide, the gap between two, and how high they are at least and at most.
ROW, GAP, HEIGHTS = 1170, 20, (180, 300)
# The figure of the first screen, which stands in no topic.
GLANCE = "glance"


class PageFigure(NamedTuple):
    """One figure of all runs that have it; a curve is one image of all of them.

    images: by the run's name, "" for what is of all runs, or of the only one
    """

    title: str
    explanation: str
    images: list[tuple[str, PageImage]]

    @property
    def height(self) -> int:
        """In pixels, at which all of its images stand in one row, as far as `HEIGHTS` go; lower where two wide images
        would not stand in a row else."""
        ratios = [image.width / image.height for _, image in self.images]
        all_of_them = (ROW - GAP * (len(ratios) - 1)) / sum(ratios)
        two = (ROW - GAP) / 2 / max(ratios)
        low, high = HEIGHTS
        return int(min(max(all_of_them, min(low, two)), high))


class NumbersTable(NamedTuple):
    """Runs as rows, without those that have none of these numbers.

    group: whose numbers they are
    title: of the group, with what tells its data from those of others
    rows: the places of the runs in the table
    """

    group: str
    title: str
    table: Table
    rows: list[int]
    columns: list[Column]


class Topic(NamedTuple):
    """One screen, of which the first figure and the tables of its first group are open.

    key: of links to it
    figures: what most runs have comes first
    notes: sentences on what is missing
    """

    key: str
    title: str
    figures: list[PageFigure]
    tables: list[NumbersTable]
    notes: list[str]

    @property
    def open_tables(self) -> list[NumbersTable]:
        return [part for part in self.tables if part.group == self.tables[0].group]

    @property
    def folded_tables(self) -> list[NumbersTable]:
        return [part for part in self.tables if part.group != self.tables[0].group]


def topics(results: dict[str, Any], tables: list[Table], folder: Path) -> list[Topic]:
    """The topics of which there is anything to see; images are read from below the folder."""
    figures = {name: _figure(results, name, folder) for name in _drawn(results) if name != GLANCE}
    found = []
    for title, groups in _groups(results, tables).items():
        own = [figure for name, figure in figures.items() if group_of(results, name) in groups]
        own.sort(key=lambda figure: -len(figure.images))
        parts = [part for group in groups for table in tables for part in _numbers(table, group, len(tables) > 1)]
        own += [PageFigure(words, "", [("", image)]) for words, image in curves_of(results["runs"], groups)]
        if own or parts:
            notes = [*cannot(_lacking(results, groups)), *_holes(parts)]
            found.append(Topic(f"topic-{groups[0]}", title, own, parts, notes))
    return found


def unasked(results: dict[str, Any], found: list[Topic]) -> list[str]:
    """Sentences on what no run can answer, of which there is no topic."""
    titles = {topic.title for topic in found}
    lacking: dict[str, list[str]] = {}
    for title, groups in TOPICS.items():
        if title not in titles:
            lacking |= _lacking(results, groups)
    return cannot(lacking)


def group_of(results: dict[str, Any], figure: str) -> str:
    """The group of a figure, as the document says."""
    return results["captions"].get(figure, {}).get("group", "other")


def cannot(lacking: dict[str, list[str]]) -> list[str]:
    """A sentence for the same runs: "gan and kde can't be asked for codes or clusters"."""
    together = grouped((tuple(labels), noun) for noun, labels in lacking.items())
    return [
        f"{listed(list(labels))} can't be asked for {listed(nouns).replace(' and ', ' or ')}."
        for labels, nouns in together.items()
    ]


def missing_lines(results: dict[str, Any], table: Table) -> list[str]:
    """Everything that runs of a table lack, numbers and figures, with the reasons they gave: for the page's end."""
    lacking = [
        (missing["reason"], missing.get("label") or missing["name"].replace("_", " "), run["label"])
        for run in table.runs
        for missing in run["missing"]
    ]
    drawn = _drawn(results)
    lacking += [
        (reason, f"figure {_title(results, name).lower()}", run["label"])
        for run in table.runs
        for name, reason in run["missing_figures"].items()
        if name in drawn
    ]
    return left_out(table.labels, lacking)


def _groups(results: dict[str, Any], tables: list[Table]) -> dict[str, tuple[str, ...]]:
    """The topics of the page, with those of groups that are its own."""
    known = {group for groups in TOPICS.values() for group in groups}
    named = [column.group for table in tables for column in table.columns]
    named += [group_of(results, name) for name in _drawn(results) if name != GLANCE]
    named += [curve.get("group", "other") for run in results["runs"] for curve in run.get("curves", [])]
    own = dict.fromkeys(group for group in named if group not in known)
    return TOPICS | {group.replace("_", " ").capitalize(): (group,) for group in own}


def _drawn(results: dict[str, Any]) -> list[str]:
    """The names of the figures that some run has, in the document's order."""
    drawn = {name for run in results["runs"] for name in run["figures"]}
    return [name for name in dict.fromkeys([*results["captions"], *sorted(drawn)]) if name in drawn]


def _title(results: dict[str, Any], name: str) -> str:
    return results["captions"].get(name, {}).get("title") or name.replace("_", " ").capitalize()


def _figure(results: dict[str, Any], name: str, folder: Path) -> PageFigure:
    title, several, images = _title(results, name), len(results["runs"]) > 1, []
    for run in results["runs"]:
        if name in run["figures"]:
            png = (folder / run["figures"][name]).read_bytes()
            image = image_of(png, f"{title}: {run['label']}, {run['model']}")
            images.append((label_text(run) if several else "", image))
    return PageFigure(title, results["captions"].get(name, {}).get("caption", ""), images)


def _numbers(table: Table, group: str, several: bool) -> list[NumbersTable]:
    """The columns of a group, in tables that are as full as each other."""
    columns = [column for column in table.columns if column.group == group]
    if not columns:
        return []
    size = rows_and_columns(len(columns), MOST_COLUMNS)[1]
    title = TITLES.get(group, group.capitalize()) + (f": {table.heading}" if several else "")
    parts = []
    for start in range(0, len(columns), size):
        part = columns[start : start + size]
        rows = [row for row in range(len(table.runs)) if any(column.numbers[row] for column in part)]
        parts.append(NumbersTable(group, title + (", continued" if start else ""), table, rows, part))
    return parts


def _lacking(results: dict[str, Any], groups: tuple[str, ...]) -> dict[str, list[str]]:
    """What runs without any number of these groups can't be asked for, and which runs."""
    found = []
    for run in results["runs"]:
        if any(number["group"] in groups for number in run["numbers"]):
            continue
        reasons = [missing["reason"] for missing in run["missing"] if missing["group"] in groups]
        reasons += [why for name, why in run["missing_figures"].items() if group_of(results, name) in groups]
        lacks = {match[1] for reason in reasons if (match := LACKS.match(reason))}
        asked = [ASKED[group] for group in groups if group in ASKED]
        found += [(noun, run["label"]) for noun, methods in asked if lacks.intersection(methods)]
    return grouped(found)


def _holes(parts: list[NumbersTable]) -> list[str]:
    """Why a number is missing in a row that has others, unless it is one that its model can't be asked for."""
    lacking = [
        (reason, column.label, part.table.labels[row])
        for part in parts
        for column in part.columns
        for row in part.rows
        if column.numbers[row] is None
        and not (reason := list(part.table.footnotes)[column.notes[row] or 0]).startswith(USUAL)
    ]
    return [f"Not measured: {line}." for line in left_out([], lacking)]
