"""docs/add_a_model.md and docs/add_more.md, followed word by word in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from support import ROOT, config

from pmodel.commands.sweep_figures import BY_VALUE


@pytest.fixture
def copy(tmp_path):
    """The project's tracked kinds of files, with those that the pages show."""
    for folder in ("conf", "src", "tests", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("train.py", "eval.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    for name in ("add_a_model.md", "add_more.md"):
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        shown = re.findall(r"^## \d\. .*?`(\S+)`\n(.*?)^```(?:python|yaml)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        assert [path for path, _, _ in shown] == FILES[name]
        for path, text, content in shown:
            is_new = "Added at the end" not in text
            assert is_new != (tmp_path / path).exists()
            with (tmp_path / path).open("a", encoding="utf-8") as file:
                file.write(content)
    return tmp_path


def test_every_figure_is_explained_on_the_page_of_figures():
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\*\*(\w+)\*\*", page, re.MULTILINE)
    names = set(config()["callbacks"]["figures"]["include"])
    assert len(explained) == len(set(explained))
    assert set(explained) == names | {"sweep", "sweep_samples", "search", "importances"}
    assert {f"`sweep_{name}`" for name in BY_VALUE if name != "samples"} <= set(re.findall(r"`sweep_\w+`", page))
    for target in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (ROOT / "docs" / target).exists(), target


FILES = {
    "add_a_model.md": [
        "src/pmodel/models/denoiser.py",
        "conf/model/denoiser.yaml",
        "tests/models/test_denoiser.py",
    ],
    "add_more.md": [
        "src/pmodel/data/stripes.py",
        "conf/data/stripes.yaml",
        "src/pmodel/evaluation/brightness.py",
        "conf/metric/default.yaml",
        "src/pmodel/figures/differences.py",
        "conf/callbacks/figures.yaml",
    ],
}


def test_the_pages_on_adding_things_work_as_printed(copy):
    pages = [(copy / "docs" / name).read_text(encoding="utf-8") for name in FILES]
    commands = [command for page in pages for command in re.findall(r"^uv run (.*)$", page, re.MULTILINE)]
    assert len(commands) == 5
    python = {"train.py": [sys.executable], "eval.py": [sys.executable], "pytest": [sys.executable, "-m"]}
    extra = {
        "train.py": ["trainer.max_epochs=2"],
        "eval.py": [],
        "pytest": ["-q", "-k", "denoiser or every_model"],
    }
    environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
    for command in commands:
        program, *arguments = command.split()
        result = subprocess.run(
            [*python[program], program, *arguments, *extra[program]],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert list(copy.glob("logs/train/denoiser-digits/*/figures/reconstructions.png"))
    (results,) = (copy / "logs/stripes/eval").glob("*/results.json")
    document = json.loads(results.read_text())
    (run,) = document["runs"]
    (number,) = [number for number in run["numbers"] if number["name"] == "brightness_gap"]
    assert number["count"] == 1000
    page = (results.parent / "report.html").read_text(encoding="utf-8")
    assert document["meanings"]["brightness_gap"] in page
    assert document["captions"]["differences"]["caption"] in page
    assert (results.parent / run["figures"]["differences"]).is_file()
    for tool in (["check"], ["format", "--check"]):
        from ruff import find_ruff_bin

        files = [name for names in FILES.values() for name in names if name.endswith(".py")]
        result = subprocess.run([find_ruff_bin(), *tool, *files], cwd=copy, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout
