"""The scripts in benchmarks/, which no test runs whole: what they import is there."""

import ast
import importlib
from pathlib import Path

import pytest
from support import ROOT


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda file: file.stem)
def test_what_a_benchmark_imports_of_pmodel_is_there(script: Path):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "pmodel":
            module = importlib.import_module(node.module)
            for alias in node.names:
                # A name in it, or a module of its own.
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
