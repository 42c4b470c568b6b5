"""Finds runs on the disk and reads their checkpoints: tensors and plain values, never code.

Light to import: what is asked for on the command line is looked for before anything heavy is loaded.
"""

import pickle
import re
import shlex
import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from pmodel.files.foreign import OWN, in_folder, read_json, read_yaml
from pmodel.files.printable import setting
from pmodel.files.run_files import BEST, CONFIG, LAST, OVERRIDES, SCHEMA, STATUS
from pmodel.runs.typed import COMMAND
from pmodel.runs.zoo import located

# Statuses of a run of which nothing is left to do.
ENDED = ("done", "pruned")
# More than a machine has.
MOST_THREADS = 4096
# The top level of config.yaml: what train.yaml composes, without Hydra's own node.
NODES = (
    *("model", "data", "trainer", "logger", "callbacks", "paths"),
    *("name", "seed", "threads", "data_dir", "resume", "check"),
)
# What a checkpoint of a model holds, besides what a training needs to go on.
NEEDED = ("state_dict", "hyper_parameters")
NOT_WHOLE = "is no whole checkpoint of a model"


# What the parts of a number in results.json are; others are texts.
NUMBERS_PARTS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("value", "standard_error", "bits_per_dim", "ideal", "least"), (int, float, type(None))),
    "count": (int, type(None)),
    "protocol": (dict,),
    "caveats": (list,),
}


class SavedRun(NamedTuple):
    """A run directory, and the checkpoint in it that is meant."""

    folder: Path
    checkpoint: Path


def find_run(path: str | Path, place: str) -> SavedRun:
    """The run that a directory or a checkpoint belongs to; of a directory best.ckpt, or last.ckpt if there is no best.

    path: zoo/NAME is also one that comes with the package
    place: the setting as it was typed, for messages

    Raises:
        ValueError: of one line, if there is no such run, if it has failed or has no checkpoint, or if another version
            of pmodel wrote it, in another form.
    """
    path = located(path)
    if path.is_dir():
        folder, options = path, [path / "checkpoints" / name for name in (BEST, LAST)]
    elif path.is_file():
        folder, options = path.absolute().parent.parent, [path]
    else:
        raise ValueError(f"{place}: there is no such run directory or checkpoint")
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{place}: expected a run directory or a checkpoint in one, but there is no {folder / CONFIG}")
    status = read_status(folder / STATUS, place)
    if status.get("status") == "failed" and not path.is_file():
        reason = status.get("reason", "")
        raise ValueError(f"{place}: that run failed ({reason}); a checkpoint in it can be named instead")
    checkpoint = next((option for option in options if option.is_file()), None)
    if checkpoint is None:
        raise ValueError(f"{place}: there is no checkpoint in it yet (expected {options[0]})")
    return SavedRun(folder, checkpoint)


def find_runs(paths: list[str]) -> tuple[list[SavedRun], list[str]]:
    """The runs of `run=[…]`; a multirun's directory stands for all its jobs, in the order of their numbers.

    Returns:
        The runs, each once, and a line for each job of a multirun that can't be used.

    Raises:
        ValueError: of one line, at the first path that is wrong, or of whose jobs none can be used.
    """
    found: dict[Path, SavedRun] = {}
    left_out: list[str] = []
    for path in map(str, paths):
        jobs = jobs_of(located(path))
        if not jobs:
            run = find_run(path, f"run={path}")
            found.setdefault(run.checkpoint.resolve(), run)
            continue
        before, reasons = len(found), []
        for job in jobs:
            try:
                run = find_run(job, f"run={job}")
                found.setdefault(run.checkpoint.resolve(), run)
            except ValueError as error:
                reasons.append(str(error))
        if len(found) == before and len(reasons) == len(jobs):
            raise ValueError(f"run={path}: none of its {len(jobs)} jobs can be used, the first: {reasons[0]}")
        left_out += reasons
    return list(found.values()), left_out


def jobs_of(folder: Path, file: str = CONFIG) -> list[Path]:
    """The run directories in a multirun's that have such a file, in the order of their numbers; empty for any other
    path."""
    if not folder.is_dir() or (folder / CONFIG).is_file():
        return []
    found = (path.parent for path in folder.glob(f"*/**/{file}"))
    return sorted(found, key=lambda job: _number(job.relative_to(folder)))


def _number(job: Path) -> tuple[float, str]:
    number = job.parts[0].partition("-")[0]
    return float(number) if number.isdigit() else float("inf"), str(job)


def read_status(file: Path, place: str) -> dict[str, Any]:
    """A run's status.json; empty where there is none: a checkpoint and its config.yaml are enough.

    Raises:
        ValueError: of one line, if it is not whole, or if a version of pmodel wrote it that keeps runs in another form.
    """
    status = read_json(file, place)
    if status is None:
        return {}
    schema = status.get("schema", SCHEMA)
    if type(schema) is not int or schema != SCHEMA:
        age = "an older version wrote it" if type(schema) is int and schema < SCHEMA else "a newer version wrote it"
        raise ValueError(f"{place}: its form is {schema!r}, and this version of pmodel reads {SCHEMA}: {age}")
    threads = status.get("threads", 1)
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"{place}: {file} says threads: {threads!r}; expected a number from 1 to {MOST_THREADS}")
    return status


def read_results(file: Path, place: str) -> dict[str, Any]:
    """A results.json of a run, of which nothing is believed: its numbers, `numbers`, are those that have a name and a
    value, and the lines of its `diagnosis` are texts; of a file that isn't there it has none.

    Raises:
        ValueError: of one line, if it is not whole, or if something else stands where a number or a text should.
    """
    found = read_json(file, place) or {}
    numbers = found.get("numbers", [])
    if not (isinstance(numbers, list) and all(map(_is_number, numbers))):
        raise ValueError(f"{place}: {file} is none of pmodel's files: expected numbers, each with a name and a value")
    diagnosis = found.get("diagnosis", [])
    if not (isinstance(diagnosis, list) and all(isinstance(line, str) for line in diagnosis)):
        raise ValueError(f"{place}: {file} is none of pmodel's files: expected a diagnosis of texts")
    return found | {"numbers": numbers, "diagnosis": diagnosis}


def _is_number(entry: Any) -> bool:
    """Whether it has the form of `reporting.results.Number`."""
    if not (isinstance(entry, dict) and isinstance(entry.get("name"), str) and "value" in entry):
        return False
    for key, value in entry.items():
        kinds = NUMBERS_PARTS.get(key, (str,))
        if not isinstance(value, kinds) or isinstance(value, bool):
            return False
    if not all(isinstance(caveat, str) for caveat in entry.get("caveats", [])):
        return False
    sizes = entry.get("protocol", {}).get("split_sizes", {})
    return isinstance(sizes, dict) and all(type(size) is int for size in sizes.values())


def read_config(folder: Path, place: str, parts: tuple[str, ...] = ("model", "data")) -> dict[str, Any]:
    """config.yaml as plain values, with the folder's own path where the run's stood.

    parts: which of model and data it must describe

    Raises:
        ValueError: of one line, if the file is not whole or does not.
    """
    file = folder / CONFIG
    try:
        plain = in_folder(read_yaml(file), folder)
        unknown = [key for key in plain if key not in NODES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no setting of a run")
        if isinstance(plain.get("paths"), dict):
            plain["paths"]["run_dir"] = str(folder)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error) if type(error) is ValueError else type(error).__name__
        raise ValueError(f"{place}: {file} can't be read: {reason}") from None
    targets = {part: node.get("_target_") if isinstance(node := plain.get(part), dict) else None for part in parts}
    missing = [part for part, target in targets.items() if not isinstance(target, str)]
    if missing:
        raise ValueError(f"{place}: {file} describes no {' and '.join(missing)}")
    return plain


def read_overrides(folder: Path, place: str) -> list[str]:
    """What was typed for a run; empty where nobody wrote it down.

    Raises:
        ValueError: of one line, if the file is not whole.
    """
    file = folder / OVERRIDES
    if not file.is_file():
        return []
    try:
        return list(map(str, read_yaml(file)))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{place}: {file} can't be read ({type(error).__name__})") from None


def evaluate_command(path: str) -> str:
    """What to type in a shell to evaluate the run, or the runs, in a directory."""
    return f"{COMMAND['eval']} {shlex.quote(setting('run', path))}"


def resume_command(path: str, *others: str) -> str:
    """What to type in a shell to go on with the run, or the multirun, in a directory, with other words behind it."""
    return " ".join([COMMAND["train"], *map(shlex.quote, [setting("resume", path), *others])])


def read_checkpoint(file: Path, place: str, content: bytes | None = None) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    content: the file's bytes, if they have been read already

    Raises:
        ValueError: of one line, if the file is damaged, is no checkpoint of a model, or holds anything but tensors and
            plain values; of such a file nothing is run.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the form of a file that is refused in a moment
            source = file if content is None else BytesIO(content)
            found = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        refused = "is refused, nothing of it was run: it holds more than tensors and plain values"
        reason = f"{refused} ({asked[1]})" if asked else f"{NOT_WHOLE} (not in PyTorch's format)"
        raise ValueError(f"{place}: {file} {reason}") from None
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{place}: {file} {NOT_WHOLE} ({type(error).__name__} while reading it)") from None
    missing = [key for key in NEEDED if not (isinstance(found, dict) and isinstance(found.get(key), dict))]
    if missing:
        raise ValueError(f"{place}: {file} is no checkpoint of a model of pmodel (it has no {missing[0]})")
    return found


def without_folder(node: Any, *folders: str) -> Any:
    """Nested dicts and lists in which a path in a run's directory begins with ${paths.run_dir}.

    folders: the ways in which that directory is written
    """
    if isinstance(node, Mapping):
        return {key: without_folder(value, *folders) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [without_folder(value, *folders) for value in node]
    for folder in folders:
        if isinstance(node, str) and (node == folder or node.startswith(f"{folder}/")):
            return OWN + node[len(folder) :]
    return node
