"""docs/own_project.md, and the project that `pmodel new` writes."""

import json
import re
import sys
from pathlib import Path

import pytest
from conftest import Run
from support import ROOT

from pmodel.commands.new import NAME, TEMPLATE, run, write
from pmodel.files.project import TYPED


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A new project in the working directory of `train` and `evaluate`, which forget it afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(TYPED, "")
    write("mine", tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def test_a_new_project_trains_resumes_and_is_evaluated_with_its_own_number(project, train: Run, evaluate: Run):
    quick = ["trainer=cpu", "callbacks=minimal", "logger=none"]
    outcome = train("experiment=mine", "data.limit=64", "trainer.max_epochs=1", *quick, "hydra.run.dir=run")
    assert outcome.code == 0, outcome.err
    assert train("resume=run", "trainer.max_epochs=2").code == 0
    other = train("model=vae", "model/network=mine", "data=mine", "data.limit=64", "check=true", *quick)
    assert other.code == 0, other.err
    outcome = evaluate("run=run", "metric=[default,mine]", "metric.probe.num_train=100", "callbacks.figures=null")
    assert outcome.code == 0, outcome.err
    (results,) = project.glob("run/eval/*/results.json")
    numbers = json.loads(results.read_text())["runs"][0]["numbers"]
    assert next(number for number in numbers if number["name"] == "sharpness_gap")["count"] == 64
    (project / "pyproject.toml").unlink()
    refused = evaluate("run=run")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "the package mine is not trusted; if you know its code, type trusted=[mine]" in refused.err
    assert evaluate("run=run", "trusted=[mine]", "metric=mine", "callbacks.figures=null").code == 0


def test_help_lists_the_projects_options_and_settings_beside_pmodels(project, train: Run):
    listed = train("model=mine", "--help").out
    assert re.search(r"^model: .*kmeans.*mine.*vae", listed, re.MULTILINE)
    assert re.search(r"^  model\.noise=0\.3 +a finite number.* standard deviation", listed, re.MULTILINE)
    assert "model.noise=-1: expected a finite number" in train("model=mine", "data=mine", "model.noise=-1").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "pmodel new: expected one name"),
        (["a", "b"], "pmodel new: expected one name"),
        (["a-b"], "pmodel new a-b: expected a name of letters"),
        (["class"], "pmodel new class: expected a name of letters"),
        (["../x"], "pmodel new ../x: expected a name of letters"),
        (["there"], "pmodel new there: there is there already"),
        (["torch"], "pmodel new torch: expected another name, since a package torch is installed"),
        (["json"], "pmodel new json: expected another name, since a package json is installed"),
    ],
)
def test_a_name_that_is_none_or_taken_is_refused(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pmodel", *words])
    (tmp_path / "there").touch()
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")
    assert [file.name for file in tmp_path.iterdir()] == ["there"]


def test_the_page_shows_the_files_as_they_are_written():
    page = (ROOT / "docs" / "own_project.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```(?:python|yaml)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    files = {file.read_text(encoding="utf-8"): file for file in TEMPLATE.rglob("*.*") if file.is_file()}
    assert all(content in files for content in shown)
    assert {files[content].suffix for content in shown} == {".py", ".yaml"}
    named = set(re.findall(r"^  (\S+\.\w+)  ", page, re.MULTILINE))
    paths = {str(file.relative_to(TEMPLATE)) for file in files.values()}
    assert paths - named == {".gitignore", "README.md", f"{NAME}/__init__.py"}
    assert named <= paths
