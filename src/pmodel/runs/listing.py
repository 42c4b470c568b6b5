"""All runs below a folder, as their small files describe them: nothing of a run is built, and no checkpoint is read.

Light to import, and fast: hundreds of runs in about a second.
"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pmodel.files.foreign import read_texts
from pmodel.files.printable import shown
from pmodel.files.run_files import CONFIG, OVERRIDES, RESULTS, STATUS
from pmodel.runs.claim import in_use
from pmodel.runs.saved import NODES, read_results, read_status

STATUSES = ("running", "done", "stopped", "pruned", "failed")


class ListedRun(NamedTuple):
    """What the files of a run say of it.

    settings: of config.yaml, nested, as the texts that stand there
    typed: the overrides
    status: one of `STATUSES`; killed where a process was, and could say nothing; broken where a file can't be read
    reason: why it ended, or what is broken, in one line; empty where nobody says why
    best: the best value of the model's `monitor`; None if it was not measured, or training is not over
    monitor: its name, such as val/loss; empty where it is not known
    began: local time
    """

    folder: Path
    settings: dict[str, Any]
    typed: list[str]
    status: str
    reason: str
    best: float | None
    monitor: str
    began: datetime


def listed_runs(log_dir: Path) -> list[ListedRun]:
    """All runs below a folder, those of multiruns too, newest first."""
    return sorted(map(_read, _run_directories(log_dir)), key=lambda run: (run.began, run.folder), reverse=True)


def _run_directories(log_dir: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(log_dir):
        if CONFIG in files or STATUS in files:
            yield Path(path)
            folders.clear()
        folders[:] = [folder for folder in folders if not folder.startswith(".")]


def _read(folder: Path) -> ListedRun:
    """What the files say, as far as they can be read."""
    broken: list[str] = []

    def tried(read: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return read()
        except (ValueError, OSError) as error:
            # The row names the folder already.
            broken.append(str(error).removeprefix(f"{shown(folder)}: ").replace(f"{folder}/", ""))
            return otherwise

    status = tried(lambda: read_status(folder / STATUS, shown(folder)), {})
    settings = tried(lambda: _read_settings(folder), {})
    typed = tried(lambda: _texts(folder / OVERRIDES, list) if (folder / OVERRIDES).is_file() else [], [])
    best, monitor = tried(lambda: _best(folder, status), (None, ""))
    state, reason = tried(lambda: _state(folder, status), ("", ""))
    if broken:
        state, reason = "broken", broken[0]
    return ListedRun(folder, settings, typed, state, reason, best, monitor, _began(folder, status))


def _texts(file: Path, kind: type) -> Any:
    """What a YAML file holds, a dict or a list."""
    try:
        content = read_texts(file)
    except FileNotFoundError:
        raise ValueError(f"there is no {file.name}") from None
    except (OSError, ValueError) as error:
        reason = str(error) if type(error) is ValueError else type(error).__name__
        raise ValueError(f"{file.name} can't be read: {reason}") from None
    if not isinstance(content, kind) or (kind is list and not all(isinstance(line, str) for line in content)):
        raise ValueError(f"{file.name} is none of pmodel's files")
    return content


def _read_settings(folder: Path) -> dict[str, Any]:
    settings = _texts(folder / CONFIG, dict)
    if unknown := [key for key in settings if key not in NODES]:
        raise ValueError(f"{CONFIG} is none of pmodel's files: {unknown[0]!r} is no setting of a run")
    for part in ("model", "data"):
        node = settings.get(part)
        if not (isinstance(node, dict) and isinstance(node.get("_target_"), str)):
            raise ValueError(f"{CONFIG} describes no {part}")
    return settings


def _state(folder: Path, status: dict[str, Any]) -> tuple[str, str]:
    """The status and the reason for it."""
    state = status.get("status", f"there is no {STATUS}")
    if state not in STATUSES:
        raise ValueError(f"its status is unknown: {state}")
    if state == "running" and not in_use(folder):
        return "killed", ""
    return state, str(status.get("reason") or "")


def _best(folder: Path, status: dict[str, Any]) -> tuple[float | None, str]:
    """The best value of the monitor, and the monitor's name."""
    numbers = read_results(folder / RESULTS, shown(folder))["numbers"]
    value, monitor = status.get("value"), status.get("monitor")
    if value is None:
        return None, ""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{STATUS} is none of pmodel's files: value is no number")
    if not isinstance(monitor, str):
        # Another version has not named it, but kept the number among the others.
        monitor = next((number["name"] for number in numbers if number["value"] == value), "")
    return value, monitor


def _began(folder: Path, status: dict[str, Any]) -> datetime:
    """When a run began; where it doesn't say so, when its directory was last changed."""
    try:
        return datetime.fromisoformat(status["started"]).astimezone()
    except (KeyError, TypeError, ValueError, OverflowError):
        return datetime.fromtimestamp(folder.stat().st_mtime if folder.exists() else 0).astimezone()
