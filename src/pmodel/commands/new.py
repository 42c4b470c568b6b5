"""`pmodel new myproject`: writes a small project that builds on pmodel."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from pmodel.files.printable import shown
from pmodel.files.project import is_package_name
from pmodel.processes.ending import FAILED, WRONG_INPUT, end
from pmodel.runs.typed import CONFIG_DIR, IN_REPOSITORY

# What is written, of a project of the name NAME.
TEMPLATE = CONFIG_DIR.parent / ("docs/own_project" if IN_REPOSITORY else "own_project")
NAME = "myproject"
USAGE = f"pmodel new {NAME}: writes a project with a model, a network, a data set and a number of its own"


def run() -> None:
    """Writes the project that the only word of the command line names."""
    words = sys.argv[1:]
    if words in (["-h"], ["--help"]):
        print(USAGE)
        return
    if len(words) != 1:
        end(WRONG_INPUT, f"error: pmodel new: expected one name, such as pmodel new {NAME}")
    name, folder = words[0], Path(words[0])
    if not is_package_name(name):
        end(WRONG_INPUT, f"error: pmodel new {name}: expected a name of letters, digits and _, as of a Python package")
    if folder.exists():
        end(WRONG_INPUT, f"error: pmodel new {name}: {shown(folder)} is there already")
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        end(WRONG_INPUT, f"error: pmodel new {name}: expected another name, since a package {name} is installed")
    try:
        write(name, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        end(FAILED, f"error: pmodel new {name}: {error.filename}: {error.strerror}")
    print(f"{shown(folder)}/", *(f"  {file.relative_to(folder)}" for file in sorted(folder.rglob("*.*"))), sep="\n")
    print(f"next      cd {name}", "          pmodel train model=mine data=mine", sep="\n")


def write(name: str, folder: Path) -> None:
    """Copies the template to a new folder, with the project's name in files and folders."""
    for file in sorted(TEMPLATE.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            path = folder / str(file.relative_to(TEMPLATE)).replace(NAME, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.read_text(encoding="utf-8").replace(NAME, name), encoding="utf-8")
