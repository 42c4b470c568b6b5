"""Format and lint, by ruff, over everything that is Python."""

import ast
import subprocess

import pytest
from support import ROOT

ruff = pytest.importorskip("ruff")


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(command):
    result = subprocess.run([ruff.find_ruff_bin(), *command, str(ROOT)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp, ast.match_case)


def test_files_have_300_lines_and_functions_60_with_12_branches_at_most():
    long = set()
    for file in (ROOT / "src" / "pmodel").rglob("*.py"):
        text, name = file.read_text(encoding="utf-8"), str(file.relative_to(ROOT / "src" / "pmodel"))
        long |= {name} if len(text.splitlines()) > 300 else set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                branches = sum(isinstance(part, BRANCHES) for part in ast.walk(node))
                too_long = node.end_lineno - node.lineno + 1 > 60 or branches > 12
                long |= {f"{name}: {node.name}"} if too_long else set()
    assert not long
