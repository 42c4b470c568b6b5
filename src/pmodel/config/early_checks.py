"""What is wrong with a trainer's, a launcher's or other settings beyond their types, said before anything is
loaded."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import which
from typing import Any

from hydra.core.override_parser.types import Override

from pmodel.config.tree import ConfigError
from pmodel.files.printable import printable, setting
from pmodel.processes.launch import counted

# Of a folder's name; that of a run gets a number in front in a multirun.
LONGEST_NAME = 200


def check_training(settings: Mapping[str, Any], typed: Mapping[str, Override], name: Callable[[str, Any], str]) -> None:
    """Refuses what is wrong with the settings of a training, beyond their types.

    typed: the overrides by their keys
    name: gives a setting as it was typed, or as it stands in a file

    Raises:
        ConfigError: at the first thing wrong.
    """
    check_names(settings)
    check_places(settings, typed)
    check_trainer(settings["trainer"], name)
    check_schedules(settings)


def check_names(settings: Mapping[str, Any]) -> None:
    """Refuses a name that is none of a folder.

    Raises:
        ConfigError: at the first one.
    """
    name = settings.get("name")
    for key, text in (("name", name), ("paths.kind", (settings.get("paths") or {}).get("kind"))):
        if isinstance(text, str) and (text != printable(text) or text in ("", ".", "..") or set(text) & set("/\\")):
            raise ConfigError(
                f"{key}={text!r}: expected a folder's name, in which there is no / and no control character"
            )
    if isinstance(name, str) and len(name.encode()) > LONGEST_NAME:
        raise ConfigError(f"name={name}: expected at most {LONGEST_NAME} bytes, as a folder's name has")


def check_places(settings: Mapping[str, Any], typed: Mapping[str, Override]) -> None:
    """Refuses a place to write to that can't be one, and one to read from where there is nothing.

    typed: the overrides by their keys

    Raises:
        ConfigError: at the first one.
    """
    places = {key: typed[key].value() for key in ("hydra.run.dir", "hydra.sweep.dir") if key in typed}
    if isinstance(settings.get("paths"), Mapping):
        places |= {f"paths.{name}": settings["paths"].get(name) for name in ("log_dir", "run_dir")}
    for key, value in places.items():
        if value is None or (isinstance(value, str) and not value.strip()):
            raise ConfigError(f"{key}={value or repr('')}: expected a folder; . is the one that you are in")
        if key in typed and "${" not in str(value):
            check_writable(Path(str(value)), typed[key].input_line)
    data = settings.get("data")
    for key, value in {
        "data.path": data.get("path") if isinstance(data, Mapping) else None,
        "metric.features.weights": ((settings.get("metric") or {}).get("features") or {}).get("weights"),
    }.items():
        path = Path(value).expanduser() if isinstance(value, str) else None
        if path is not None and not (path.is_file() or path.is_dir()):
            what = "it is neither a file nor a folder" if path.exists() else "there is no such file or folder"
            raise ConfigError(f"{setting(key, value)}: {what}")
    data_dir = settings.get("data_dir")
    if isinstance(data_dir, str) and Path(data_dir).expanduser().is_file():
        raise ConfigError(f"{setting('data_dir', data_dir)}: expected a folder, and it is a file")


def check_writable(folder: Path, place: str) -> None:
    """Refuses a folder that can't be made, or in which nothing can be written.

    Raises:
        ConfigError: of one line, which begins with `place`.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    if not there.is_dir():
        raise ConfigError(f"{place}: expected a folder, and {there} is none")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"{place}: {there} can't be written to")


def check_subdir(overrides: list[Override]) -> None:
    """Refuses one and the same directory for all jobs of a multirun.

    Raises:
        ConfigError: if it is that.
    """
    typed = [o for o in overrides if o.key_or_group == "hydra.sweep.subdir"]
    if typed and "${" not in str(typed[-1].value()):
        raise ConfigError(
            f"{typed[-1].input_line}: expected a name that differs from job to job, as 'hydra.sweep.subdir=${{seed}}'"
        )


def check_trainer(trainer: Mapping[str, Any], name: Callable[[str, Any], str]) -> None:
    """Refuses devices and times that Lightning would refuse only once it is loaded.

    name: gives a setting as it was typed, or as it stands in a file

    Raises:
        ConfigError: at the first one.
    """
    devices = trainer.get("devices", 1)
    count, most = counted(devices), max(16, os.cpu_count() or 1)
    typed = name("trainer.devices", devices)
    if str(devices) not in ("auto", "-1") and count is None:
        raise ConfigError(f"{typed}: expected a number of at least 1, a list of them, or auto")
    if count is not None and count > most:
        raise ConfigError(f"{typed}: expected at most {most} on this machine")
    if isinstance(devices, list) and len(set(devices)) < len(devices):
        raise ConfigError(f"{typed}: expected each device once")
    if isinstance(devices, list) and trainer.get("accelerator") == "cpu":
        raise ConfigError(f"{typed}: expected a number of processes, with trainer.accelerator=cpu")
    max_time = trainer.get("max_time")
    if isinstance(max_time, str) and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", max_time):
        raise ConfigError(f"trainer.max_time={max_time}: expected days:hours:minutes:seconds, such as 00:01:30:00")


def check_schedules(settings: Mapping[str, Any]) -> None:
    """Refuses a learning-rate schedule that needs a training's length, where the training has no end.

    Raises:
        ConfigError: at the first one.
    """
    model, trainer = settings.get("model"), settings.get("trainer")
    node = model.get("schedule") if isinstance(model, Mapping) else None
    if not (isinstance(node, Mapping) and isinstance(trainer, Mapping)):
        return
    endless = trainer.get("max_epochs") == -1 and trainer.get("max_steps") == -1 and trainer.get("max_time") is None
    players = {"": node} if "scheduler" in node else {f".{name}": child for name, child in node.items()}
    for name, schedule in players.items():
        length = schedule.get("length") if isinstance(schedule, Mapping) else None
        if endless and length is not None and length not in schedule["scheduler"]:
            raise ConfigError(
                f"trainer.max_epochs=-1: expected an end, which model.schedule{name} falls towards; set"
                " trainer.max_epochs, trainer.max_steps or trainer.max_time, or choose model/schedule=constant"
            )


def check_launcher(overrides: list[Override], multirun: bool) -> None:
    """Refuses a launcher where there are no jobs to launch, or where it can't be used.

    Raises:
        ConfigError: at the first thing wrong.
    """
    typed = [o for o in overrides if o.key_or_group == "hydra/launcher"]
    if typed and not multirun:
        raise ConfigError(f"{typed[-1].input_line}: a launcher starts the jobs of a multirun; add --multirun (-m)")
    if typed and typed[-1].value() == "slurm" and which("sbatch") is None:
        raise ConfigError(
            "hydra/launcher=slurm: there is no sbatch on this machine; hydra/launcher=submitit_local rehearses it"
        )
