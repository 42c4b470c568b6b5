"""The commit that is stamped on numbers."""

import subprocess
from pathlib import Path

import pytest

from pmodel.runs import provenance


def repository(folder: Path) -> str:
    """A repository with one commit, and how git describes it."""
    folder.mkdir()

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false"]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", folder.name)
    return git("describe", "--always", "--abbrev=12")


def installed_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(root / "src" / "pmodel" / "runs" / "provenance.py"))


def test_it_is_that_of_the_source_tree_and_unknown_where_the_package_is_installed_within_another_repository(
    tmp_path, monkeypatch
):
    own = repository(tmp_path / "own")
    installed_in(tmp_path / "own", monkeypatch)
    assert provenance.code_version() == own
    (tmp_path / "own" / "installed").mkdir()
    installed_in(tmp_path / "own" / "installed", monkeypatch)
    assert provenance.code_version() == "unknown"
