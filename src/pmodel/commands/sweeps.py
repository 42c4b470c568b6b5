"""What the jobs of a multirun have brought, side by side: summary.csv, a table, and figures that a config asks for.

Hydra builds this before anything is trained, and in each run: nothing heavy is imported until a figure is drawn.
"""

import csv
import math
import os
import shutil
import statistics
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pmodel.commands.directories import finish_sweep, multirun_at_work
from pmodel.files.printable import shown
from pmodel.files.run_files import RESULTS, STATUS
from pmodel.processes.ending import FAILED, end
from pmodel.processes.launch import is_first
from pmodel.reporting.summary import table
from pmodel.reporting.texts import label_of, spread_text
from pmodel.runs.results import Number
from pmodel.runs.saved import (
    ENDED,
    evaluate_command,
    find_runs,
    jobs_of,
    read_overrides,
    read_results,
    read_status,
    resume_command,
)
from pmodel.runs.typed import only_typed

TIME = "training_time"
# Jobs that differ in nothing else are repetitions of one another.
REPEATS = ("seed", "data.label_seed", "data.split_seed")


class Job(NamedTuple):
    """One job of a multirun.

    settings: what was typed for it, and what the experiment swept, by key, as text
    status: done, failed, stopped or running; reason: of a failure, one line
    numbers: those of results.json, by the name of their column
    """

    path: Path
    settings: dict[str, str]
    status: str
    reason: str
    numbers: dict[str, Number]


class SweepSummary(Callback):
    """Writes summary.csv after each job of a multirun, and at its end prints a table and draws figures.

    A job that failed is a row that says so, and makes the exit code 1 when all the others are done. Where at least one
    job has a checkpoint, the last line is the command that evaluates all of them in one report.

    figures: by file name, the arguments of `Curves`
    """

    def __init__(self, figures: dict[str, dict[str, Any]]) -> None:
        plain = OmegaConf.to_container(figures) if isinstance(figures, DictConfig) else figures
        self.figures = {name: Curves(**arguments) for name, arguments in (plain or {}).items() if arguments}

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if config.hydra.mode != RunMode.MULTIRUN or not is_first():
            return
        write_csv(Path(config.hydra.sweep.dir) / "summary.csv", read_jobs(Path(config.hydra.sweep.dir)))
        if job_return.status == JobStatus.FAILED and _says_why(Path(config.hydra.runtime.output_dir)):
            # Hydra would end the multirun with this error instead of the summary.
            job_return.return_value, job_return.status = None, JobStatus.COMPLETED

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        jobs = read_jobs(folder)
        if not jobs:
            return
        failed = [job for job in jobs if job.status not in ENDED]
        finish_sweep(folder, "failed" if failed else "done")
        write_csv(folder / "summary.csv", jobs)
        columns = shutil.get_terminal_size((132, 24)).columns
        print(f"\n{summary_table(jobs, columns)}\n\nsummary   {shown(folder / 'summary.csv')}")
        for name, figure in self.figures.items():
            path = folder / f"{name}.png"
            reason = figure.save(path, jobs)
            print(f"figure    {shown(path) if reason is None else f'{name}: {reason}'}")
        with suppress(ValueError):  # no job that has not failed has a checkpoint
            find_runs([str(folder)])
            print(f"evaluate  {evaluate_command(shown(folder))}")
        if failed:
            first = f"{shown(failed[0].path)}: {failed[0].reason}"
            end(FAILED, f"error: {len(failed)} of {len(jobs)} jobs failed, the first in {first}")


def _says_why(folder: Path) -> bool:
    """Whether a job that failed has noted it; one that was refused in the directory of another has not."""
    try:
        return read_status(folder / STATUS, shown(folder)).get("status") == "failed"
    except ValueError:
        return True  # the summary repeats it


def cut() -> str:
    """Notes that the multirun of this process, if it runs one, was cut, and says how it goes on."""
    folder = multirun_at_work()
    if folder is None:
        return ""
    jobs = read_jobs(folder)
    if jobs:
        write_csv(folder / "summary.csv", jobs)
    finish_sweep(folder, "stopped")
    done = sum(job.status in ENDED for job in jobs)
    command = resume_command(shown(folder), *only_typed(sys.argv[1:]))
    return f"go on with: {command} ({done} of {len(jobs)} jobs that were begun are done)"


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

        curves = {
            name: [
                (x, statistics.fmean(y), statistics.stdev(y) if len(y) > 1 else math.nan)
                for x, y in sorted(points.items())
            ]
            for name, points in values.items()
        }
        band = "standard deviation over jobs"
        labels = self.x_label or self.x, self.y_label or self.y
        Image.fromarray(curves_with_spread(curves, *labels, band, self.log_x, names)).save(path)
        return None


def read_jobs(folder: Path) -> list[Job]:
    """The jobs whose directories lie in a multirun's, in the order in which they began."""
    return [_read_job(path) for path in jobs_of(folder, STATUS)]


def _read_job(path: Path) -> Job:
    try:
        status = read_status(path / STATUS, shown(path))
    except ValueError as error:
        status = {"status": "unknown", "reason": str(error)}
    numbers = read_results(path / RESULTS, shown(path))["numbers"]
    named = {(f"train {n['name']}" if n.get("split") == "train" else n["name"]): n for n in numbers}
    return Job(path, typed_settings(path), str(status.get("status")), status.get("reason", ""), named)


def typed_settings(folder: Path) -> dict[str, str]:
    """What was typed for the run in a folder, by key, and what the experiment swept.

    Raises:
        ValueError: of one line, if the file is not whole.
    """
    lines = read_overrides(folder, f"run={shown(folder)}")
    return {key.lstrip("+~"): value for key, _, value in (line.partition("=") for line in lines)}


def differing(settings: list[dict[str, str]]) -> list[str]:
    """The settings that are not the same in all runs, in the order in which they were typed."""
    keys = dict.fromkeys(key for own in settings for key in own)
    return [key for key in keys if len({own.get(key) for own in settings}) > 1]


def write_csv(path: Path, jobs: list[Job]) -> None:
    """One row per job: its directory, the settings that differ, the status, a failure's reason, and all numbers."""
    settings = differing([job.settings for job in jobs])
    names = list(dict.fromkeys(name for job in jobs for name in job.numbers))
    # Jobs that run side by side write it side by side.
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["job", *settings, "status", "reason", *names])
        for job in jobs:
            values = [job.numbers[name]["value"] if name in job.numbers else "" for name in names]
            typed = [job.settings.get(key, "") for key in settings]
            writer.writerow([job.path.relative_to(path.parent), *typed, job.status, job.reason, *values])
    temporary.replace(path)


def summary_table(jobs: list[Job], columns: int) -> str:
    """A line for each combination of settings: how many jobs of it are done, the numbers that were measured on
    examples, as means and standard deviations over repetitions, and the time that training took.

    columns: a wider table is turned, to a line for each number, if that makes it narrower
    """
    settings = [key for key in differing([job.settings for job in jobs]) if key not in REPEATS]
    names = list(dict.fromkeys(name for job in jobs for name, number in job.numbers.items() if "split" in number))
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(tuple(job.settings.get(key, "") for key in settings), []).append(job)
    if any(TIME in job.numbers for job in jobs):
        names.append(TIME)
    # Where there is one job in each line, its number is what its directory begins with.
    single = len(jobs) > 1 and all(len(group) == 1 for group in groups.values())
    labels = {name: _label(number) for job in jobs for name, number in job.numbers.items()}
    heads = [f"{labels[name]}, s" if name == TIME else labels[name] for name in names]
    rows = [[*(["job"] if single else []), *settings, "jobs", *heads]]
    for key, group in groups.items():
        number = [group[0].path.name.partition("-")[0]] if single else []
        rows.append([*number, *key, _statuses(group), *(_mean_and_deviation(group, name) for name in names)])
    lines = table(rows, right=set(range(len(rows[0]) - len(names) - 1, len(rows[0]))))
    if _width(lines) > columns:
        turned = [list(column) for column in zip(*rows, strict=True)]
        lines = min(lines, table(turned, right=set(range(1, len(turned[0])))), key=_width)
    return f"{lines}\nsd: the standard deviation over jobs" if "(sd " in lines else lines


def _label(number: Number) -> str:
    return f"train {label_of(number)}" if number.get("split") == "train" else label_of(number)


def _statuses(jobs: list[Job]) -> str:
    """How many jobs are done; where some are not, what became of each."""
    counts = Counter(job.status for job in jobs)
    return str(len(jobs)) if set(counts) == {"done"} else ", ".join(f"{n} {status}" for status, n in counts.items())


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))


def _mean_and_deviation(jobs: list[Job], name: str) -> str:
    values = [job.numbers[name]["value"] for job in jobs if name in job.numbers]
    values = [value for value in values if value is not None]
    return spread_text(values, of="") if values else ""
