"""The wheel in an environment and a folder that hold nothing of the repository."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT

SMALL = ["data=digits", "data.limit=96", "callbacks=minimal"]
LOCAL = "hydra/launcher=submitit_local"
# Without the libraries that are extras.
MISSING = {
    ("train", "logger=tensorboard"): "logger.tensorboard: needs pmodel[tensorboard]",
    ("train", "sweep=vae_optuna"): "sweep=vae_optuna: needs pmodel[optuna]",
    ("train", "-m", LOCAL, "seed=1,2"): f"{LOCAL}: needs pmodel[submitit]",
    ("train", "data=table", "data.path=t.parquet"): "data.path=t.parquet: needs pmodel[parquet]",
    ("eval", "run=pca", "metric/features=inception"): "metric/features=inception: needs pmodel[inception]",
}


pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("uv") is None, reason="no uv")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(["uv", "build", "-q", "--wheel", "-o", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(folder: Path, *packages: str) -> Callable[..., str]:
    """What a command says in an empty folder, with these packages in an environment of their own."""
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    subprocess.run(["uv", "venv", "-q", str(folder / "env")], check=True)
    install = ["uv", "pip", "install", "-q", "-p", str(folder / "env" / "bin" / "python")]
    subprocess.run([*install, "--exclude-newer", uv["exclude-newer"], *packages], cwd=folder, check=True)
    environment = {"PATH": f"{folder}/env/bin:{os.defpath}", "HOME": str(folder)}
    (folder / "work").mkdir()

    def said(*words: str, code: int = 0, place: str = ".") -> str:
        where = folder / "work" / place
        done = subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert (done.stderr == "") == (code == 0), (words, done.stderr)
        return done.stdout + done.stderr

    return said


def test_the_wheel_alone_trains_evaluates_resumes_and_names_the_extra_that_is_missing(wheel: Path, tmp_path: Path):
    said = installed(tmp_path, str(wheel))
    place = said("python", "-c", "import pmodel.runs.typed as t; print(t.CONFIG_DIR)").strip()
    assert place.endswith("site-packages/pmodel/conf")
    assert "uv run" not in said("pmodel", "train", "model=pca", *SMALL, "hydra.run.dir=pca")
    assert "evaluate  pmodel eval run=vae" in said(
        "pmodel", "train", "model=vae", *SMALL, "trainer.max_epochs=2", "trainer=ddp_cpu", "hydra.run.dir=vae"
    )
    said("python", "-m", "pmodel", "train", "resume=vae", "trainer.max_epochs=3")
    quick = ["metric.samples.num_samples=50", "metric.memorization.num_samples=50", "metric.likelihood.num_samples=5"]
    said("pmodel", "eval", "run=[pca,vae]", *quick)
    assert list(tmp_path.glob("work/logs/eval/*/report.html"))
    shape = "import pmodel; print(tuple(pmodel.open_run('zoo/vae').model.sample(2).shape))"
    assert said("python", "-c", shape) == "(2, 1, 28, 28)\n"
    said("pmodel", "train", "resume=zoo/vae", "trainer.max_epochs=31")
    assert list(tmp_path.glob("work/logs/train/vae-mnist_5k/*/results.json"))
    assert said("python", "-c", "from pmodel.testing import contract; contract('model=pca', 'data=digits')") == ""
    said("pmodel", "train", "-m", "model=pca", *SMALL, "seed=1,2", "hydra/launcher=joblib")
    said("pmodel", "sample", "run=vae", "n=5", "out=draws", "trainer.devices=2", "trainer.accelerator=cpu")
    assert len(list(tmp_path.glob("work/draws/*.png"))) == 5
    (tmp_path / "work" / "t.parquet").touch()
    for words, line in MISSING.items():
        assert f"error: {line}, which is not installed: pip install" in said("pmodel", *words, code=2)


# Parts of the user's own beyond those that `pmodel new` writes.
OWN = {
    "conf/model/optimizer/mine.yaml": "_target_: myproject.parts.Slow\nlr: 0.01\n",
    "conf/callbacks/mine.yaml": "noted:\n  _target_: myproject.parts.Noted\n  path: ${paths.run_dir}/noted.txt\n",
    "conf/logger/mine.yaml": "own:\n  _target_: myproject.parts.Lines\n  path: ${paths.run_dir}/lines.txt\n",
    "myproject/parts.py": '''"""An optimizer, a callback and a logger."""

from pathlib import Path

import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger


class Slow(torch.optim.SGD):
    pass


class Noted(Callback):
    def __init__(self, path: str):
        self.path = Path(path)

    def on_train_end(self, trainer, pl_module):
        self.path.write_text(type(trainer.optimizers[0]).__name__)


class Lines(Logger):
    name = version = "lines"

    def __init__(self, path: str):
        super().__init__()
        self.path = Path(path)

    def log_hyperparams(self, params, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        with self.path.open("a") as file:
            print(sorted(metrics), file=file)
''',
}


def test_a_project_of_ones_own_has_all_that_pmodel_has(wheel: Path, tmp_path: Path):
    said = installed(tmp_path, f"{wheel}[optuna]", "pytest")
    assert "pmodel train model=mine data=mine" in said("pmodel", "new", "myproject")
    project = tmp_path / "work" / "myproject"

    def typed(*words: str, code: int = 0) -> str:
        return said("pmodel", *words, place="myproject", code=code)

    for file, text in OWN.items():
        (project / file).parent.mkdir(exist_ok=True, parents=True)
        (project / file).write_text(text)
    page = (ROOT / "docs" / "own_project.md").read_text(encoding="utf-8")
    commands = re.findall(r"^pmodel (train .*?)(?: +#.*)?$", page, re.MULTILINE)
    assert len(commands) == 6
    short = ["trainer.max_epochs=2", "data.limit=96"]
    for command in commands:
        if "resume" not in command:
            wandb = ["logger.wandb.offline=true"] if "wandb" in command else []
            typed(*command.replace("'", "").split(), *short, *wandb)
    assert len(list(project.glob("logs/multirun/*/*/results.json"))) == 2
    run = str(max(project.glob("logs/train/mine-mine/*")).relative_to(project))
    typed("train", f"resume={run}", "trainer.max_epochs=3")
    assert "sharpness" in typed("eval", f"run={run}", "metric=[default,mine]", "metric.probe.num_train=90")
    assert list(project.glob(f"{run}/eval/*/report.html"))
    opened = f"import pmodel; run = pmodel.open_run({run!r}); print(type(run.model).__module__, run.epochs)"
    assert said("python", "-c", opened, place="myproject") == "myproject.models.denoiser 3\n"
    parts = ["model/optimizer=mine", "callbacks=[minimal,mine]", "logger=mine", "hydra.run.dir=own"]
    typed("train", "model=vae", "data=mine", *short, *parts)
    assert (project / "own" / "noted.txt").read_text() == "Slow"
    assert "train/loss" in (project / "own" / "lines.txt").read_text()
    search = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "model.latent_dim=range(4,9,4)"]
    typed("train", "model=mine", "data=mine", *short, *search)
    typed("train", "-m", "model=mine", "data=mine", *short, "seed=1,2", "hydra/launcher=joblib")
    said("python", "-m", "pytest", "-q", place="myproject")
    (project / "pyproject.toml").rename(project / run / "pyproject.toml")
    line = f"error: run={run}: the package myproject is not trusted; if you know its code, type trusted=[myproject]"
    assert line in typed("eval", f"run={run}", code=2)
    assert "is not trusted" in said("pmodel", "eval", "run=.", place=f"myproject/{run}", code=2)
    typed("eval", f"run={run}", "trusted=[myproject]", "metric=mine", "callbacks.figures=null")


# What needs a GPU, a cluster, an account, data that are not part of the package, or a run that was trained before.
ELSEWHERE = ("trainer=gpu", "slurm", "wandb", "data=mnist ", "_mnist", "experiment=", "resume=", "run=", "data.path")


def test_the_commands_of_the_pages_work_with_the_wheel(wheel: Path, tmp_path: Path):
    said = installed(tmp_path, f"{wheel}[optuna]")
    pages = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/commands.md"))
    commands = dict.fromkeys(re.findall(r"^uv run train\.py *(.*?)(?: +#.*)?$", pages, re.MULTILINE))
    here = [command for command in commands if not any(word in f"{command} " for word in ELSEWHERE)]
    assert len(here) > 8
    for command in here:
        words = [] if "--help" in command else ["data.limit=64", "trainer.max_epochs=1", "callbacks=minimal"]
        said("pmodel", "train", *command.split(), *words)


def test_the_notebooks_run_with_the_wheel(wheel: Path, tmp_path: Path):
    said = installed(tmp_path, str(wheel), "nbclient", "ipykernel")
    code = """
import os, sys, nbclient, nbformat
os.dup2(1, 2)  # the kernel remarks on its connection
notebook = nbformat.read(sys.argv[1], as_version=4)
done = nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
print(sum("image/png" in output.get("data", {}) for cell in done.cells for output in cell.get("outputs", [])))
"""
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        assert int(said("python", "-c", code, str(notebook)).split()[-1]) > 0
