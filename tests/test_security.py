"""docs/security.md: a run directory, a checkpoint and data that a stranger made run no code, and write nowhere else."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, train_in
from omegaconf import OmegaConf
from PIL import Image
from support import ROOT, config, source

import pmodel
from pmodel.commands.command_line import checked_command_line
from pmodel.data import image_folder
from pmodel.files.run_files import SWEEP

SMALL = ["model=pca", "data.limit=64", "data.batch_size=32", "callbacks=minimal", "logger=csv", "trainer=cpu"]
CODE = {"_target_": "torch.load", "f": "payload.pt", "weights_only": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train_in(folder, [*SMALL, "hydra.run.dir=run"])
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path, monkeypatch) -> Path:
    """A copy of a run, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained, tmp_path / "run"))


def written(folder: Path) -> dict[str, float]:
    return {str(file): file.lstat().st_mtime_ns for file in sorted(folder.rglob("*"))}


def refusal(capsys, config_name: str, *words: str) -> str:
    """The one line with which a command line is refused; nothing is written."""
    before = written(Path.cwd())
    with pytest.raises(SystemExit) as end:
        checked_command_line(config_name, list(words))
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (2, "", 1), said
    assert said.err.startswith("error: ")
    assert said.err.rstrip("\n").isprintable()
    assert written(Path.cwd()) == before
    return said.err


def changed(run: Path, key: str, value: Any) -> None:
    content = OmegaConf.load(run / "config.yaml")
    OmegaConf.update(content, key, value, force_add=True)
    OmegaConf.save(content, run / "config.yaml")


IN_CONFIG = [
    ("hydra.callbacks.e", CODE, "'hydra' is no setting of a run"),
    ("hydra.job_logging.handlers.h", {"()": "os.system", "command": "touch payload"}, "'hydra' is no setting"),
    ("hydra.job.env_set", {"PYTHONSTARTUP": "payload.py"}, "'hydra' is no setting"),
    ("defaults", [{"override hydra/launcher": "submitit_local"}], "'defaults' is no setting"),
    ("name", "../../../x", "name='../../../x': expected a folder's name"),
    ("name", "a\x1b]0;title\x07", "control characters"),
    ("name", "a\nb", "control characters"),
    ("name", "a\u202eb", "control characters"),
    ("model.num_components", "${oc.env:SECRET}", "${oc.env:SECRET} is no plain value"),
    ("callbacks.last.path", "${paths.run_dir}/../../x.ckpt", "is no plain value"),
    ("callbacks.last.path", "/etc/hostname", "callbacks.last.path=/etc/hostname: expected a place in"),
    ("callbacks.last.path", "README.md", "callbacks.last.path=README.md: expected a place in"),
    ("callbacks.best.dirpath", "~/.config", "callbacks.best.dirpath=~/.config: expected a place in"),
    ("logger.csv.save_dir", "../elsewhere", "logger.csv.save_dir=../elsewhere: expected a place in"),
    ("logger.csv.name", "../../elsewhere", "logger.csv.name=../../elsewhere: expected a place in"),
    ("callbacks.frechet.cache_dir", "/var/cache", "callbacks.frechet.cache_dir=/var/cache: expected a place in"),
    ("trainer.profiler", {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "dirpath": "/x"}, "dirpath=/x:"),
    ("data_dir", "/srv/data", "its data lie elsewhere than those of this project; add data_dir=/srv/data"),
]


@pytest.mark.parametrize(("key", "value", "said"), IN_CONFIG)
def test_settings_that_a_run_may_not_have_are_refused_when_it_goes_on(key, value, said, run, capsys):
    changed(run, key, value)
    line = refusal(capsys, "train", "resume=run", "trainer.max_epochs=3")
    assert said in line
    assert line.startswith(("error: resume=run: ", f"error: {key}="))


def header(run: Path) -> None:
    (run / "config.yaml").write_text("# @package hydra\n" + (run / "config.yaml").read_text())


def many(run: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    (run / "config.yaml").write_text("\n".join(lines))


def deep(run: Path) -> None:
    (run / "config.yaml").write_text("model: " + "[" * 3000 + "]" * 3000)


def pipe(run: Path) -> None:
    (run / "config.yaml").unlink()
    os.mkfifo(run / "config.yaml")


def python_object(run: Path) -> None:
    (run / "config.yaml").write_text("model: !!python/object/apply:os.system ['touch payload']\n")


def large(run: Path) -> None:
    (run / "config.yaml").write_text("name: " + "x" * 2**21)


def nul(run: Path) -> None:
    (run / "config.yaml").write_bytes(b"model: {}\x00")


@pytest.mark.parametrize("make", [header, many, deep, python_object, large, nul])
def test_a_file_of_settings_that_acts_when_it_is_read_is_refused(make, run, capsys):
    make(run)
    for name, words in {"train": ["resume=run", "trainer.max_epochs=3"], "eval": ["run=run"]}.items():
        assert "config.yaml can't be read: " in refusal(capsys, name, *words)
    assert not Path("payload").exists()


def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(run, capsys):
    pipe(run)
    assert "there is no run/config.yaml" in refusal(capsys, "eval", "run=run")
    assert "there is no " in refusal(capsys, "train", "resume=run")
    shutil.rmtree(run)
    Path("sweep").mkdir()
    os.mkfifo(f"sweep/{SWEEP}")
    assert "there is no " in refusal(capsys, "train", "resume=sweep")


@pytest.mark.parametrize("link", ["checkpoints", "metrics.csv", "train.log", "eval"])
def test_a_link_that_leads_out_of_a_run_is_refused(link, run, capsys, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if (run / link).exists():
        (run / link).rename(elsewhere / link)
    (run / link).symlink_to(elsewhere / link)
    for name, words in {"train": ["resume=run", "trainer.max_epochs=3"], "eval": ["run=run"]}.items():
        assert f"run/{link} leads out of the run's own directory" in refusal(capsys, name, *words)


TYPED = [
    "+hydra.callbacks.e={_target_: torch.load, f: payload.pt, weights_only: false}",
    "hydra.launcher.setup=[touch payload]",
    "hydra.run.dir=/x",
    "callbacks.last.path=/any/file",
    "callbacks.last={path: /any/file}",
    "+logger.csv.name=../../x",
    "paths.run_dir=/x",
    "data_dir=/x",
    "name=${oc.env:SECRET}",
    "+callbacks@hydra.callbacks=default",
    "--config-dir=/x",
    "--config-path=/x",
]


@pytest.mark.parametrize("word", TYPED)
def test_what_could_act_in_a_multirun_has_to_be_typed_again(word, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / SWEEP).write_text(json.dumps({"typed": ["-m", "seed=1,2", word], "task": []}))
    line = refusal(capsys, "train", "resume=sweep")
    assert line == f"error: resume=sweep: sweep/{SWEEP} says that {word} was typed; type that again behind it\n"


def test_what_is_typed_again_is_the_users_own(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sweep").mkdir()
    typed = ["-m", "seed=1,2", "data_dir=elsewhere", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    Path(f"sweep/{SWEEP}").write_text(json.dumps({"typed": typed, "task": []}))
    again = checked_command_line("train", ["resume=sweep", "data_dir=elsewhere"])
    assert sorted(again) == sorted([*typed, "hydra.sweep.dir='sweep'"])


def test_secrets_of_the_environment_stay_out_of_an_evaluation(run, capsys, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    changed(run, "model.num_components", "${oc.env:SECRET}")
    assert "${oc.env:SECRET} is no plain value" in refusal(capsys, "eval", "run=run")
    with pytest.raises(ValueError, match="is no plain value"):
        pmodel.open_run("run")


def test_orders_to_a_terminal_in_a_status_are_not_passed_on(run, capsys):
    status = json.loads((run / "status.json").read_text())
    reason = "out of memory\x1b[2J\nerror: all is well"
    (run / "status.json").write_text(json.dumps(status | {"status": "failed", "reason": reason}))
    assert "out of memory\ufffd[2J\ufffderror: all is well" in refusal(capsys, "eval", "run=run")


def test_a_name_that_is_html_is_text_in_the_report(run, evaluate: Run):
    changed(run, "name", "<img src=x onerror=alert(1)>")
    outcome = evaluate("run=run", "callbacks.figures=null", *(f"metric.{name}=null" for name in ("samples", "cost")))
    assert outcome.code == 0, outcome.err
    (report,) = run.glob("eval/*/report.html")
    text = report.read_text(encoding="utf-8")
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img src=x" not in text


@pytest.mark.parametrize("name", ["../../../x", "a/b", "..", "", "a\\b", "'a\tb'"])
def test_a_name_is_that_of_a_folder(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "expected a folder's name" in refusal(capsys, "train", f"name={name}")


def test_an_image_of_any_size_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(4):
            archive.writestr(f"{i}.png", bytes(100_000))
    data = source("image_folder", path=tmp_path / "p.zip", shape=[1, 8, 8])
    with pytest.raises(ValueError, match="it has 100,000 bytes, expected at most 1,000"):
        data.load("train")


def test_a_pipe_among_images_keeps_nobody_waiting(tmp_path):
    for i in range(4):
        os.mkfifo(tmp_path / f"{i}.png")
    data = source("image_folder", path=tmp_path, shape=[1, 8, 8])
    with pytest.raises(ValueError, match="it is no file"):
        data.load("train")


def test_an_evaluation_writes_into_the_run_and_beside_the_users_data_alone(
    trained, evaluate: Run, tmp_path, monkeypatch
):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    changed(run, "data_dir", str(elsewhere))
    quick = ["metric.samples.num_samples=50", "metric.memorization.num_samples=50", "callbacks.figures=null"]
    outcome = evaluate("run=run", *quick)
    assert outcome.code == 0, outcome.err
    assert list(elsewhere.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"run", "elsewhere", "data"}


def test_nothing_is_downloaded_to_where_a_run_says(trained, tmp_path, monkeypatch):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    changed(run, "data", config("data=mnist")["data"] | {"data_dir": str(tmp_path / "x")})
    with pytest.raises(ValueError, match="type data_dir=… for it to be downloaded there"):
        pmodel.open_run(run).data.prepare_data()
    assert not (tmp_path / "x").exists()


def test_shards_are_not_written_to_where_a_run_says(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i in range(4):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / "images" / f"{i}.png")
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    node = config("data=image_folder", f"data.path={tmp_path / 'images'}", "data.shape=[3,4,4]", "data.storage=disk")
    changed(run, "data", node["data"] | {"data_dir": str(tmp_path / "x")})
    data = pmodel.open_run(run).data
    other = source("image_folder", path=str(tmp_path / "images"), shape=[3, 4, 4], data_dir="x", storage="disk")
    other.hold_those_of(data)  # as an evaluation does
    for module in (data, other):
        module.setup("fit")
    assert not (tmp_path / "x").exists()
    assert len(list((tmp_path / "data" / "shards").iterdir())) == 2


def test_a_run_whose_data_lie_elsewhere_goes_on_with_what_is_typed(train: Run, tmp_path):
    gan = ["model=gan", "data=points", "data.limit=64", "trainer=cpu", "callbacks=minimal", "logger=csv"]
    assert train(*gan, "trainer.max_epochs=1", "data_dir=old", "hydra.run.dir=run").code == 0
    assert "add data_dir=old\n" in train("resume=run", "trainer.max_epochs=2").err
    assert train("resume=run", "trainer.max_epochs=2", "data_dir=old").code == 0
    assert train("resume=run", "trainer.max_epochs=3", "data_dir=new").code == 0
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert (config.data_dir, config.callbacks.frechet.cache_dir) == ("new", "new/features")


def test_every_part_of_a_runs_settings_is_known():
    from pmodel.config.schema import TrainConfig
    from pmodel.runs.saved import NODES

    assert set(NODES) == set(TrainConfig.__annotations__)


def test_every_claim_of_the_page_names_a_test_that_exists():
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`tests/([\w/]+\.py)::(\w+)`", page)
    assert len(named) >= 12
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), test
