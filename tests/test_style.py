"""Format and lint, by ruff, over everything that is Python."""

import subprocess

import pytest
from support import ROOT

ruff = pytest.importorskip("ruff")


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(command):
    result = subprocess.run([ruff.find_ruff_bin(), *command, str(ROOT)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
