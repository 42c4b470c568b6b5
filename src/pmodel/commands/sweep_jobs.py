"""The jobs of a multirun as their directories tell of them; nothing heavy is imported."""

from pathlib import Path
from typing import NamedTuple

from pmodel.files.printable import shown
from pmodel.files.run_files import RESULTS, STATUS
from pmodel.reporting.texts import label_of
from pmodel.runs.results import Number
from pmodel.runs.saved import jobs_of, read_overrides, read_results, read_status

# Jobs that differ in nothing else are repetitions of one another.
REPEATS = ("seed", "data.label_seed", "data.split_seed")


class Job(NamedTuple):
    """One job of a multirun.

    settings: what was typed for it, and what the experiment swept, by key, as text
    status: done, failed, stopped or running; reason: of a failure, one line
    numbers: those of results.json, by the name of their column
    monitor: what best.ckpt follows, such as val/loss
    """

    path: Path
    settings: dict[str, str]
    status: str
    reason: str
    numbers: dict[str, Number]
    monitor: str | None = None


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
    reason, monitor = status.get("reason", ""), status.get("monitor")
    return Job(path, typed_settings(path), str(status.get("status")), reason, named, monitor)


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


def label_in_table(number: Number) -> str:
    """The words of a number at the head of its column."""
    return f"train {label_of(number)}" if number.get("split") == "train" else label_of(number)
