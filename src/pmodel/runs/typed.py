"""What is typed for a run to go on, and for another process to join it."""

import re
import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from pmodel.files.foreign import WRITING
from pmodel.files.printable import quoted, setting
from pmodel.files.project import own_conf

_REPOSITORY = Path(__file__).parents[3]
# Whether the package is that of the repository, whose conf/ is the one to be edited, and not of a wheel.
IN_REPOSITORY = (_REPOSITORY / "conf" / "train.yaml").is_file() and (_REPOSITORY / "pyproject.toml").is_file()
CONFIG_DIR = _REPOSITORY / "conf" if IN_REPOSITORY else Path(__file__).parents[1] / "conf"
# What to type in a shell for a command: as this one was typed.
_SCRIPTS = IN_REPOSITORY and Path(sys.argv[0]).name != "pmodel"
COMMAND = {name: f"uv run {name}.py" if _SCRIPTS else f"pmodel {name}" for name in ("train", "eval")}
# Of Hydra's own settings, those which start no other program and write nowhere else.
HARMLESS = ("hydra/launcher", "hydra/sweeper", "hydra.launcher.n_jobs", "hydra.sweeper.n_trials", "hydra.mode")


def config_folders() -> list[Path]:
    """Where YAML files lie: the package's conf/ and, where there is another one, that of the user's own project."""
    own = own_conf()
    return [CONFIG_DIR] if own is None or own.resolve() == CONFIG_DIR.resolve() else [CONFIG_DIR, own]


def only_typed(words: list[str]) -> list[str]:
    """Of a command line, what a file can't ask for, since it could run code or write elsewhere."""
    lines = get_args_parser().parse_known_intermixed_args(words)[0].overrides
    found = [word for word in words if word not in ("-m", "--multirun", *lines)]
    settings = [line for line in lines if not line.startswith("hydra.sweep.dir=")]
    for override in OverridesParser.create().parse_overrides(settings):
        key, line = override.key_or_group, override.input_line
        hydras = key.startswith("hydra") and key not in HARMLESS
        place = key.startswith(WRITING) and re.search(r"path|dir|file|folder|/|~|\.\.|\{", line)
        data = key in ("data_dir", "data.data_dir")
        if (
            hydras
            or place
            or data
            or key == "trusted"
            or key.startswith("paths.run")
            or re.search(r"\$\{|_target_|@.*=", line)
        ):
            found.append(line)
    return found


def arguments_of_run(run: Path, resume: Path | None, source: Path | None = None) -> list[str]:
    """The command line of a process that takes its settings from the config.yaml of a run directory.

    source: the directory that has the file, where that is not the run's own
    """
    own: dict[str, Path] = {"hydra.run.dir": run, "paths.run_dir": run.absolute()}
    if resume is not None:
        own["resume"] = resume
    settings = [f"{key}={quoted(str(value))}" for key, value in own.items()]
    settings += ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]
    return ["--config-path", str((source or run).absolute()), "--config-name", "config", *settings]


def project_data_dir() -> str:
    """Where data sets lie if nobody says where."""
    return str(OmegaConf.load(CONFIG_DIR / "train.yaml").data_dir)


def project_log_dir() -> str:
    """Where runs are written if nobody says where."""
    return str(OmegaConf.load(CONFIG_DIR / "paths" / "default.yaml").log_dir)


def to_type(data_dir: str | None) -> list[str]:
    """What is to be typed to go on with a run whose data lie there."""
    return [] if data_dir in (None, project_data_dir()) else [setting("data_dir", data_dir)]
