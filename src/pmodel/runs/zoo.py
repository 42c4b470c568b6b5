"""Trained runs that travel with the package, and in which nothing is written. Light to import.

A run is one of them if it lies in the package's own folder: what a run directory says of itself makes no difference, so
nobody's run can claim to be one.
"""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from pmodel.files.printable import shown
from pmodel.files.run_files import STATUS
from pmodel.processes.launch import launched
from pmodel.runs.claim import Claim
from pmodel.runs.typed import CONFIG_DIR

NAME = "zoo"
FOLDER = CONFIG_DIR.parent / NAME


def located(path: str | Path) -> Path:
    """Where a run lies that somebody typed: zoo/vae is that of the package, unless the working directory has one."""
    path = Path(path).expanduser()
    if path.parts[:1] == (NAME,) and ".." not in path.parts and not path.exists():
        of_package = FOLDER.joinpath(*path.parts[1:])
        return of_package if of_package.exists() else path
    return path


def in_zoo(path: str | Path) -> bool:
    """Whether a run, or a file of one, lies in the package's folder."""
    return located(path).resolve().is_relative_to(FOLDER.resolve())


def fresh_directory(settings: dict[str, Any], place: str) -> Path:
    """Where a run of the zoo is resumed, as a new run of its name would be.

    settings: of its config.yaml

    Raises:
        ValueError: of one line, if several processes were started, each of which would have its own.
    """
    by = launched().by
    if by in ("torchrun", "slurm"):
        raise ValueError(f"{place}: it is resumed in a new directory; {by} needs its name, hydra.run.dir=…")
    paths = settings["paths"]
    folder = Path(paths["log_dir"]) / paths["kind"] / settings["name"] / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while (chosen := folder if number == 1 else folder.with_name(f"{folder.name}_{number}")).exists():
        number += 1
    return chosen


def copy_run(checkpoint: Path, folder: Path) -> None:
    """Copies the run of a checkpoint into a folder, in which it is resumed.

    Raises:
        ValueError: of one line, if there is a run in that folder.
    """
    if (folder / STATUS).exists():
        raise ValueError(f"hydra.run.dir={shown(folder)}: there is a run in it")
    leave_out = shutil.ignore_patterns("eval", Claim.NAME)
    shutil.copytree(checkpoint.absolute().parent.parent, folder, dirs_exist_ok=True, ignore=leave_out)
