"""The house's import rules, read off the syntax trees."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "pmodel"

# Which rooms each may import besides itself and those that are free for all; each stands below those that it imports,
# so there is no circle.
FREE = {"capabilities", "instantiate", "settings", "files"}
ALLOWED: dict[str, set[str]] = {
    "capabilities": set(),
    "settings": set(),
    "instantiate": set(),
    "files": set(),
    "processes": set(),
    "data": {"processes"},
    "metrics": set(),
    "plots": set(),
    "features": {"processes"},
    "runs": {"data", "processes"},
    "nets": set(),
    "distributions": {"nets"},
    "training": {"data", "nets", "processes"},
    "models": {"data", "nets", "distributions", "training", "processes", "runs"},
    "figures": {"processes", "metrics", "features", "plots"},
    "evaluation": {"metrics", "features", "processes", "runs"},
    "loggers": {"processes", "runs"},
    "config": {"data", "processes", "runs", "training"},
    "callbacks": {"metrics", "features", "figures", "evaluation", "loggers", "processes", "runs", "config"},
    "reporting": {"plots", "runs"},
    "commands": {
        *("callbacks", "config", "evaluation", "figures", "loggers", "plots", "processes", "reporting", "runs"),
        "training",
    },
    "testing": {"commands", "config", "data", "evaluation", "features", "nets", "runs", "training"},
    "interactive": {
        *("callbacks", "commands", "config", "data", "figures", "loggers", "plots", "processes", "reporting", "runs"),
    },
    "__init__": {"config", "interactive"},
    "__main__": {"__init__", "commands", "processes"},
}


def imported_parts(file: Path) -> set[str]:
    """The parts of pmodel that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file}: relative import"
    return {name.split(".")[1] for name in names if name.startswith("pmodel.")}


def test_no_room_imports_one_below_it():
    above = set(FREE)
    for room, others in ALLOWED.items():
        assert others <= above, room
        above.add(room)


def test_at_the_top_there_are_only_the_questions_what_builds_objects_and_the_command():
    assert {file.stem for file in PACKAGE.glob("*.py")} == {"__init__", "__main__", "capabilities", "instantiate"}


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_only_what_its_part_may(file: Path):
    part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert imported_parts(file) <= ALLOWED[part] | {part} | FREE


def test_the_check_of_a_config_imports_nothing_heavy():
    code = (
        "import sys; from pmodel.commands.command_line import checked_command_line as check;"
        "check('train', ['model=vae']);"
        "heavy = {'torch', 'lightning', 'torchvision', 'numpy', 'sklearn', 'matplotlib', 'wandb'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def parsed() -> dict[str, ast.Module]:
    """All files of the code by their paths, without docstrings."""
    found = {}
    for file in sorted(
        [*PACKAGE.parent.rglob("*.py"), *(PACKAGE.parents[1] / name for name in ("train.py", "eval.py"))]
    ):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant(None)
        found[file.relative_to(PACKAGE.parents[1]).as_posix()] = tree
    return found


def files_with(is_it: Callable[[ast.AST], bool]) -> set[str]:
    """The files in whose code there is such a node."""
    return {file for file, tree in parsed().items() if any(map(is_it, ast.walk(tree)))}


def test_one_module_sets_handlers_of_signals():
    setting = ("signal.signal", "signal.sigaction")
    found = files_with(lambda node: isinstance(node, ast.Call) and ast.unparse(node.func) in setting)
    assert found == {"src/pmodel/processes/signals.py"}


def test_one_module_ends_processes():
    """Others call it, or raise an error: none raises a SystemExit, or calls what does."""
    ending = re.compile(r"(sys\.)?exit|quit|os\._exit|os\.abort|SystemExit")

    def ends(node: ast.AST) -> bool:
        if isinstance(node, ast.Raise):
            return ast.unparse(node.exc or ast.Constant(None)) == "SystemExit"
        return isinstance(node, ast.Call) and ending.fullmatch(ast.unparse(node.func)) is not None

    assert files_with(ends) == {"src/pmodel/processes/ending.py"}


def test_one_module_decides_who_writes():
    """Others ask it, and neither Lightning nor the environment."""
    deciding = re.compile(r"(.*\.)?(is_global_zero|rank_zero_\w+)|.*\.\w*rank (==|!=|>) 0|'LOCAL_RANK'")
    found = files_with(lambda node: isinstance(node, ast.expr) and deciding.fullmatch(ast.unparse(node)) is not None)
    assert found == {"src/pmodel/processes/launch.py"}


def test_one_module_names_the_files_of_a_run():
    names = {"best.ckpt", "last.ckpt", "status.json", "config.yaml", "overrides.yaml", "results.json", "metrics.csv"}
    naming = files_with(
        lambda node: (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.split("/")[-1] in names
        )
    )
    assert naming == {"src/pmodel/files/run_files.py"}


def test_ranges_stand_in_signatures_alone():
    """An annotation says which numbers a setting takes; nothing else does, but for those that many share."""
    bounds = {"Ge", "Gt", "Le", "Lt"}
    for file, tree in parsed().items():
        annotated = {
            id(call)
            for node in ast.walk(tree)
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated"
            for call in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in bounds:
                assert id(node) in annotated, f"{file}:{node.lineno}"
