"""What the jobs of a multirun have brought, side by side: summary.csv, a table, and figures.

Hydra builds this before anything is trained, and in each run: nothing heavy is imported until a figure is drawn.
"""

import csv
import os
import shutil
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pmodel.commands.directories import finish_sweep, multirun_at_work
from pmodel.commands.sweep_figures import Curves, own_figures
from pmodel.commands.sweep_jobs import REPEATS, Job, differing, label_in_table, read_jobs
from pmodel.files.printable import shown
from pmodel.files.run_files import STATUS
from pmodel.processes.ending import FAILED, end
from pmodel.processes.launch import is_first
from pmodel.reporting.summary import table
from pmodel.reporting.texts import spread_text
from pmodel.runs.saved import ENDED, evaluate_command, find_runs, read_status, resume_command
from pmodel.runs.typed import only_typed

TIME = "training_time"


class SweepSummary(Callback):
    """Writes summary.csv after each job of a multirun, and at its end prints a table and draws figures.

    A job that failed is a row that says so, and makes the exit code 1 when all the others are done. Where at least one
    job has a checkpoint, the last line is the command that evaluates all of them in one report.

    figures: by file name, the arguments of `Curves`; besides, a sweep of one setting draws its own
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
        for path in own_figures(folder, jobs):
            print(f"figure    {shown(path)}")
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
    labels = {name: label_in_table(number) for job in jobs for name, number in job.numbers.items()}
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
