"""docs/add_a_model.md, followed word by word in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from support import ROOT


@pytest.fixture
def copy(tmp_path):
    """The project's tracked kinds of files, with the three files that the page shows."""
    for folder in ("conf", "src", "tests", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    page = (ROOT / "docs" / "add_a_model.md").read_text(encoding="utf-8")
    files = re.findall(r"^## \d\. .*?`(\S+)`\n.*?^```(?:python|yaml)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in files] == [
        "src/pmodel/models/denoiser.py",
        "conf/model/denoiser.yaml",
        "tests/models/test_denoiser.py",
    ]
    for name, text in files:
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_page_on_adding_a_model_works_as_printed(copy):
    page = (copy / "docs" / "add_a_model.md").read_text(encoding="utf-8")
    commands = re.findall(r"^uv run (.*)$", page, re.MULTILINE)
    assert len(commands) == 3
    python = {"train.py": [sys.executable], "pytest": [sys.executable, "-m"]}
    environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
    for command in commands:
        program, *arguments = command.split()
        extra = ["-q", "-k", "denoiser or every_model"] if program == "pytest" else ["trainer.max_epochs=2"]
        result = subprocess.run(
            [*python[program], program, *arguments, *extra],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert list(copy.glob("logs/train/denoiser-digits/*/figures/reconstructions.png"))
    for tool in (["check"], ["format", "--check"]):
        from ruff import find_ruff_bin

        files = ["src/pmodel/models/denoiser.py", "tests/models/test_denoiser.py"]
        result = subprocess.run([find_ruff_bin(), *tool, *files], cwd=copy, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout
