"""The house's import rules, read off the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "pmodel"

# What each part may import besides itself; the others in `FREE` are helpers that anyone may use.
FREE = {"instantiate", "saved", "foreign", "ranges", "bar"}
ALLOWED = {
    "nets": set(),
    "distributions": {"nets"},
    "training": {"nets", "distributions", "checkpoint_io", "launch", "processes"},
    "models": {"nets", "distributions", "training", "capabilities"},
    "capabilities": set(),
    "metrics": {"capabilities"},
    "data": {"csv_tables"},
    "csv_tables": set(),
    "reporting": {"atomic"},
    "atomic": set(),
    "processes": set(),
    "checkpoint_io": {"atomic"},
    "loggers": {"atomic"},
    "wandb_logger": {"callbacks", "reporting", "run_directory", "wandb_start"},
    "wandb_start": {"reporting"},
    "saved": set(),
    "foreign": set(),
    "resuming": {"config", "config_tree"},
    "evaluation": {"capabilities", "metrics", "reporting"},
    "callbacks": {"capabilities", "metrics", "evaluation", "reporting", "loggers", "processes", "search", "stopping"},
    "signatures": set(),
    "annotations": {"signatures"},
    "ranges": set(),
    "bar": {"launch"},
    "deferred": set(),
    "third_party": set(),
    "config_tree": {"annotations", "signatures", "third_party"},
    "resolvers": {"config_tree", "csv_tables", "launch", "resuming"},
    "search": {"annotations", "config_tree", "signatures"},
    "workers": {"config_tree", "deferred", "quiet", "resolvers", "run_directory", "stopping"},
    "early_checks": {"config_tree", "launch"},
    "config": {"config_tree", "early_checks", "search", "signatures"},
    "command_line": {"config", "config_tree", "early_checks", "launch", "quiet", "resolvers", "resuming"},
    "instantiate": set(),
    "quiet": set(),
    "launch": set(),
    "stopping": {"launch"},
    "memory": set(),
    "run_directory": {"atomic", "reporting", "resuming", "runs"},
    "directories": {"launch", "reporting", "run_directory", "stopping"},
    "recording": {
        *("atomic", "callbacks", "launch", "memory", "quiet", "reporting", "run_directory", "stopping", "training"),
        "wandb_start",
    },
    "runs": {"data", "reporting", "resuming"},
    "announce": {"callbacks", "capabilities", "reporting", "run_directory"},
    "judge": {"callbacks", "capabilities", "evaluation", "quiet", "reporting", "runs"},
    "sweeps": {"directories", "launch", "reporting", "resuming", "run_directory"},
    "__init__": {"runs"},
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


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_only_what_its_part_may(file: Path):
    part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert imported_parts(file) <= ALLOWED[part] | {part} | FREE


def test_the_check_of_a_config_imports_nothing_heavy():
    code = (
        "import sys; from pmodel.command_line import checked_command_line as check; check('train', ['model=vae']);"
        "heavy = {'torch', 'lightning', 'torchvision', 'numpy', 'sklearn', 'matplotlib', 'wandb'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
