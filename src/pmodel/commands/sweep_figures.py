"""Figures over the jobs of a multirun: those that a config asks for, and those of any sweep of one setting.

Nothing heavy is imported until a figure is drawn.
"""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmodel.commands.sweep_jobs import REPEATS, Job, differing, label_in_table
from pmodel.runs.results import Number

BAND = "standard deviation over jobs"
# What is shown over a setting besides the main number, in place of the monitor, which it is a part of.
PARTS = {"model.beta": ("reconstruction", "kl", "elbo")}
# Of the jobs' own figures the first one of these that there is stands beside each other.
BY_VALUE = ("density", "clusters", "samples", "centres", "reconstructions")
MOST_VALUES = 12


@dataclass
class Curves:
    """A number over a setting: mean and standard deviation over repetitions, one curve for each value of another.

    x, curve: settings, as typed
    y: the name of a number in results.json
    log_x: whether the axis of x is logarithmic
    null_x: where in the number's protocol the x of a null stands, such as split_sizes.train
    x_label, y_label: of the axes; null: the names
    """

    x: str
    y: str
    curve: str
    log_x: bool = False
    null_x: str | None = None
    x_label: str | None = None
    y_label: str | None = None

    def points(self, jobs: list[Job]) -> tuple[dict[str, dict[float, list[float]]], dict[float, str]]:
        """The values by curve and x, and the names of the x that stand for null."""
        values: dict[str, dict[float, list[float]]] = {}
        names: dict[float, str] = {}
        for job in jobs:
            number, text = job.numbers.get(self.y), job.settings.get(self.x)
            if number is None or number["value"] is None or text is None:
                continue
            x = self._position(text, number)
            if x is None:
                continue
            if text == "null":
                names[x] = f"all ({x:,.0f})"
            values.setdefault(job.settings.get(self.curve, ""), {}).setdefault(x, []).append(number["value"])
        return values, names

    def _position(self, text: str, number: Number) -> float | None:
        if text == "null" and self.null_x is not None:
            node: Any = number.get("protocol", {})
            for part in self.null_x.split("."):
                node = node.get(part, {}) if isinstance(node, dict) else {}
            return float(node) if isinstance(node, int | float) else None
        try:
            return float(text)
        except ValueError:
            return None

    def save(self, path: Path, jobs: list[Job]) -> str | None:
        """Draws the image; where there is nothing to draw, gives the reason instead."""
        values, names = self.points(jobs)
        if not values:
            return f"no job has a number {self.y!r} and a number for {self.x}"
        from PIL import Image

        from pmodel.plots.sweeps import curves_with_spread

        curves = {name: means_of(points) for name, points in values.items()}
        labels = self.x_label or self.x, self.y_label or self.y
        Image.fromarray(curves_with_spread(curves, *labels, BAND, self.log_x, names)).save(path)
        return None


def own_figures(folder: Path, jobs: list[Job]) -> Iterator[Path]:
    """Draws what a sweep of one setting, all of whose values are numbers, shows by itself; the paths.

    sweep.png: the jobs' main number and their monitor over the setting. sweep_NAME.png: the figure NAME of one job of
    each value. The jobs may differ in their seeds besides.
    """
    done = [job for job in jobs if job.status == "done"]
    key = swept_number(done)
    if key is None:
        return
    from PIL import Image

    from pmodel.plots.sweeps import figures_by_value, numbers_over_setting

    if panels := numbers_over(key, done):
        Image.fromarray(numbers_over_setting(panels, key, BAND)).save(path := folder / "sweep.png")
        yield path
    name, files = figures_over(key, done)
    if files:
        Image.fromarray(figures_by_value(files)).save(path := folder / f"sweep_{name}.png")
        yield path


def numbers_over(key: str, jobs: list[Job]) -> dict[str, list[tuple[float, float, float]]]:
    """By label and unit, the points of each number over a setting, where there are two or more."""
    panels = {}
    for name in shown_over(key, jobs):
        points: dict[float, list[float]] = {}
        for job in jobs:
            if name in job.numbers and job.numbers[name]["value"] is not None:
                points.setdefault(float(job.settings[key]), []).append(job.numbers[name]["value"])
        number = next(job.numbers[name] for job in jobs if name in job.numbers)
        unit = f" ({number['unit']})" if number["unit"] else ""
        if len(points) > 1:
            panels[f"{label_in_table(number)}{unit}"] = means_of(points)
    return panels


def figures_over(key: str, jobs: list[Job]) -> tuple[str, dict[str, Path]]:
    """The name of a figure that jobs of two values or more have, and its files by "setting=value"."""
    first = {float(job.settings[key]): job for job in reversed(jobs)}
    for name in BY_VALUE:
        files = {value: first[value].path / "figures" / f"{name}.png" for value in sorted(first)}
        values = [value for value, file in files.items() if file.is_file()]
        if len(values) > 1:
            return name, {f"{key}={first[value].settings[key]}": files[value] for value in spread(values, MOST_VALUES)}
    return "", {}


def swept_number(jobs: list[Job]) -> str | None:
    """The one setting in which these jobs differ, seeds apart, if all of its values are numbers; else None."""
    keys = [key for key in differing([job.settings for job in jobs]) if key not in REPEATS]
    if len(keys) != 1 or not all(is_number(job.settings.get(keys[0], "")) for job in jobs):
        return None
    return keys[0]


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def shown_over(key: str, jobs: list[Job]) -> list[str]:
    """The names of the jobs' numbers that a figure over a setting shows, at most four."""
    numbers = jobs[0].numbers
    main = next((name for name, number in numbers.items() if "split" in number), None)
    split, _, quantity = (jobs[0].monitor or "").partition("/")
    monitor = next((name for name in (f"{split} {quantity}", quantity) if name in numbers), None)
    return [name for name in dict.fromkeys([main, *PARTS.get(key, (monitor,))]) if name in numbers]


def means_of(points: dict[float, list[float]]) -> list[tuple[float, float, float]]:
    """x, the mean of its values and their standard deviation, NaN of one value; by rising x."""
    return [
        (x, statistics.fmean(y), statistics.stdev(y) if len(y) > 1 else math.nan) for x, y in sorted(points.items())
    ]


def spread(values: list[float], most: int) -> list[float]:
    """The values, or so many of them, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
