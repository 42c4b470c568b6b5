"""Which packages of the user's may be built: what the working directory and the command line say, and nothing else."""

import os
import sys
from pathlib import Path

import pytest
import torch
from support import CONFIG_DIR, config

import pmodel
from pmodel.commands.command_line import checked_command_line
from pmodel.config.check import check_overrides
from pmodel.config.tree import ConfigError
from pmodel.files.project import TYPED, trusted_packages
from pmodel.instantiate import check_trusted, instantiate
from pmodel.runs.typed import config_folders

TRUSTING = '[tool.pmodel]\npackages = ["theirs"]\n'


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with a package that notes when it is imported, its class a layer and a LightningModule; the working
    directory. No pyproject.toml is in it."""
    (tmp_path / "theirs").mkdir()
    marker = tmp_path / "ran"
    (tmp_path / "theirs" / "parts.py").write_text(
        f"from pathlib import Path\nimport torch\nPath({str(marker)!r}).touch()\n"
        "class Layer(torch.nn.Identity):\n    def __init__(self, width: int = 1):\n        super().__init__()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(TYPED, "")
    yield tmp_path
    for name in ("theirs", "theirs.parts"):
        sys.modules.pop(name, None)


LAYER = {"_target_": "theirs.parts.Layer"}


def test_a_package_is_built_from_once_pyproject_or_the_command_line_names_it(project, monkeypatch):
    with pytest.raises(ValueError, match=r"^_target_=theirs\.parts\.Layer: the package theirs is not trusted; .*$"):
        instantiate(LAYER)
    assert not (project / "ran").exists()
    (project / "pyproject.toml").write_text(TRUSTING)
    assert isinstance(instantiate(LAYER), torch.nn.Identity)
    assert (project / "ran").exists()
    (project / "pyproject.toml").unlink()
    checked_command_line("train", ["model=pca", "data=digits", "trusted=[theirs]"])
    assert os.environ[TYPED] == "theirs"
    assert isinstance(instantiate(LAYER), torch.nn.Identity)


def test_what_is_typed_is_no_setting_of_the_run(project):
    assert checked_command_line("train", ["model=pca", "trusted=[theirs]"]) == ["model=pca"]
    with pytest.raises(ConfigError, match="there is no setting 'trusted'"):
        check_overrides("train", ["model=pca", "+trusted=[theirs]"])


@pytest.mark.parametrize("word", ["trusted=[a-b]", "trusted=1", "trusted=[[a]]", "trusted=a,b", "trusted=null"])
def test_what_is_no_list_of_packages_is_refused(word, project, capsys):
    with pytest.raises(SystemExit) as end:
        checked_command_line("train", ["model=pca", word])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"error: {word}: expected a list of names of packages, such as [mine]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.pmodel", "pyproject.toml: can't be read as TOML: "),
        ("[tool.pmodel]\npackages = 'theirs'", "pyproject.toml: tool.pmodel.packages=theirs: expected a list of names"),
        ("[tool.pmodel]\npackages = [1]", "pyproject.toml: tool.pmodel.packages=[1]: expected a list of names"),
    ],
)
def test_a_pyproject_that_says_something_else_is_refused_in_one_line(text, said, project, capsys):
    (project / "pyproject.toml").write_text(text)
    with pytest.raises(SystemExit) as end:
        checked_command_line("train", ["model=pca"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("file", ["status.json", "checkpoints/last.ckpt"])
@pytest.mark.parametrize("inside", ["", "eval/today"])
def test_a_pyproject_in_a_run_directory_is_not_read(file, inside, project, monkeypatch):
    """Whoever sends a run could send that too."""
    folder = project / inside
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", file):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).touch()
    (folder / "pyproject.toml").write_text(TRUSTING)
    (folder / "conf").mkdir()
    monkeypatch.chdir(folder)
    assert trusted_packages() == ()
    assert config_folders() == [CONFIG_DIR]
    (project / "config.yaml").rename(project / "other.yaml")
    assert trusted_packages() == ("theirs",)
    (project / "sweep.json").touch()
    assert trusted_packages() == ()


def test_a_class_has_to_be_written_in_a_trusted_package(project):
    (project / "pyproject.toml").write_text(TRUSTING)
    (project / "theirs" / "parts.py").write_text("import os\nfrom subprocess import Popen\nsystem = os.system\n")
    for target in ("theirs.parts.Popen", "theirs.parts.system", "theirs.parts.os.system", "theirs.missing.Layer"):
        with pytest.raises(ValueError, match=f"^_target_={target}: "):
            instantiate({"_target_": target})


@pytest.mark.parametrize("target", ["subprocess.Popen", "os.system", "torch.load"])
def test_a_line_offers_no_trust_in_what_is_no_package_of_a_users(target, project):
    with pytest.raises(ValueError, match=f"^_target_={target}: only classes of pmodel\\., .* are built$"):
        instantiate({"_target_": target})


def test_a_class_of_a_notebook_is_handed_over(project):
    with pytest.raises(ValueError, match=r"^run=x: __main__\.Mine was written in a notebook or a script; "):
        check_trusted("__main__.Mine", "run=x")


def test_a_config_that_names_an_untrusted_package_is_refused_before_it_is_imported(project):
    with pytest.raises(ConfigError, match=r"^model\._target_=theirs\.parts\.Layer: the package theirs is not trusted"):
        check_overrides("train", ["model._target_=theirs.parts.Layer"])
    assert not (project / "ran").exists()


def test_the_users_conf_stands_beside_pmodels_and_hides_none_of_its_options(project):
    (project / "conf" / "data").mkdir(parents=True)
    own = project / "conf" / "data" / "mine.yaml"
    own.write_text("defaults:\n  - points\n  - _self_\nnum_train: 77\n")
    assert config_folders() == [CONFIG_DIR, project / "conf"]
    check_overrides("train", ["model=gmm", "data=mine"], config_folders())
    assert config("model=gmm", "data=mine")["data"]["num_train"] == 77
    with pytest.raises(ConfigError, match=r"data has no option 'mien'; did you mean mine\? \(options: .*mine.*points"):
        check_overrides("train", ["data=mien"], config_folders())
    own.rename(project / "conf" / "data" / "points.yaml")
    with pytest.raises(ConfigError, match=r"conf/data/points\.yaml: pmodel has a file of that name"):
        check_overrides("train", ["model=gmm", "data=points"], config_folders())
    check_overrides("train", ["model=gmm", "data=digits"], config_folders())


def test_a_run_whose_model_is_not_trusted_is_refused_and_nothing_of_it_is_imported(project, monkeypatch, capsys):
    """Neither its config.yaml nor its checkpoint can widen the list."""
    from conftest import train_in
    from omegaconf import OmegaConf

    small = ["model=pca", "data.limit=64", "callbacks=minimal", "logger=none", "hydra.run.dir=run"]
    train_in(project, small)
    file = project / "run" / "config.yaml"
    content = OmegaConf.load(file)
    content.model._target_ = "theirs.parts.Layer"
    OmegaConf.save(content, file)
    (project / "run" / "pyproject.toml").write_text(TRUSTING)
    with pytest.raises(ValueError, match=r"^run=run: the package theirs is not trusted; if you know its code, type"):
        pmodel.open_run("run")
    for name, words in (("eval", ["run=run"]), ("train", ["resume=run", "trainer.max_epochs=9"])):
        with pytest.raises(SystemExit) as end:
            checked_command_line(name, words)
        assert end.value.code == 2
        assert "the package theirs is not trusted" in capsys.readouterr().err
    content.trusted = ["theirs"]
    OmegaConf.save(content, file)
    with pytest.raises(ValueError, match="'trusted' is no setting of a run"):
        pmodel.open_run("run")
    content.model._target_ = "pmodel.models.pca.PCA"
    del content["trusted"]
    OmegaConf.save(content, file)
    for path in (project / "run" / "checkpoints").glob("*.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["hyper_parameters"] |= {"trusted": ["theirs"], "prior": LAYER}
        torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"^run=run: .*theirs is not trusted"):
        pmodel.open_run("run")
    assert not (project / "ran").exists()
