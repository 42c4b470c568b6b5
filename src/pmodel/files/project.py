"""The user's own project, the folder that a command is typed in: its conf/, and packages that objects are built from.

Its pyproject.toml says `[tool.pmodel] packages = ["mine"]`; `trusted=[mine]` on the command line says so too. Nothing
else does: no run directory, no checkpoint, no pyproject.toml in one. Of scikit-learn, single classes are trusted where
they are typed as a `_target_`.
"""

import os
import sys
import tomllib
from functools import lru_cache
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

from pmodel.files.run_files import CONFIG, STATUS, SWEEP

PYPROJECT = Path("pyproject.toml")
# Holds what was typed, for the processes that a command starts.
TYPED = "PMODEL_TRUSTED"


def trusted_packages() -> tuple[str, ...]:
    """The names of the packages, besides pmodel's own, whose classes may be built, and of single classes. Packages that
    lie in the working directory, or in its src/, can be imported from then on.

    Raises:
        ValueError: of one line, if pyproject.toml is no TOML, or says something else than names of packages.
    """
    names = tuple(filter(None, os.environ.get(TYPED, "").split(","))) + _of_pyproject()
    for folder in () if _in_a_run() else map(str, (Path.cwd(), Path.cwd() / "src")):
        own = (name for name in names if "." not in name and Path(folder, name).is_dir())
        # Only for what is not installed, and at the end: a file of the user's must not take the place of a library.
        if folder not in sys.path and any(find_spec(name) is None for name in own):
            sys.path.append(folder)
    return names


def trust(packages: object, place: str) -> None:
    """Allows objects of packages to be built, in this process and in those that it starts.

    place: the setting as a user types it, for the message

    Raises:
        ValueError: of one line, if these are no names of packages.
    """
    os.environ[TYPED] = ",".join(_names([packages] if isinstance(packages, str) else packages, place))


def trust_class(target: str) -> None:
    """Allows objects of a class that was typed to be built, in this process and in those that it starts.

    target: its dotted name; of anything else, nothing is allowed
    """
    if all(map(is_package_name, target.split("."))):
        names = filter(None, os.environ.get(TYPED, "").split(","))
        os.environ[TYPED] = ",".join(dict.fromkeys([*names, target]))


def own_conf() -> Path | None:
    """The folder conf/ in the working directory, unless that is a run's."""
    folder = Path("conf").absolute()
    return folder if folder.is_dir() and not _in_a_run() else None


def _of_pyproject() -> tuple[str, ...]:
    file = PYPROJECT.absolute()
    return () if not file.is_file() or _in_a_run() else _packages_in(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _packages_in(file: Path, changed: int) -> tuple[str, ...]:
    """Those that a pyproject.toml names, which is read again once it has changed."""
    try:
        match tomllib.loads(file.read_text(encoding="utf-8")):
            case {"tool": {"pmodel": {"packages": packages}}}:
                return _names(packages, f"{PYPROJECT}: tool.pmodel.packages={packages}")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{PYPROJECT}: can't be read as TOML: {error}") from None
    return ()


def _names(packages: object, place: str) -> tuple[str, ...]:
    if not isinstance(packages, list | tuple) or not all(map(is_package_name, packages)):
        raise ValueError(f"{place}: expected a list of names of packages, such as [mine]")
    return tuple(packages)


def is_package_name(name: object) -> bool:
    """Whether it can be that of a package: a word that Python has no other use for."""
    return isinstance(name, str) and name.isidentifier() and not iskeyword(name)


def _in_a_run() -> bool:
    """Whether the working directory is a run directory, or that of a multirun, or lies in one."""
    folders = (Path.cwd(), *Path.cwd().parents)
    return any((f / SWEEP).exists() or ((f / CONFIG).exists() and _has_run_parts(f)) for f in folders)


def _has_run_parts(folder: Path) -> bool:
    return (folder / STATUS).exists() or (folder / "checkpoints").exists()
