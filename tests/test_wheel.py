"""The wheel in an environment and a folder that hold nothing of the repository."""

import os
import shutil
import subprocess
import tomllib
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
    ("eval", "run=pca", "metric/features=inception"): "metric/features=inception: needs pmodel[inception]",
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="no uv")
def test_the_wheel_alone_trains_evaluates_resumes_and_names_the_extra_that_is_missing(tmp_path: Path):
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    subprocess.run(["uv", "build", "-q", "--wheel", "-o", str(tmp_path / "dist")], cwd=ROOT, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run(["uv", "venv", "-q", str(tmp_path / "env")], check=True)
    python = str(tmp_path / "env" / "bin" / "python")
    install = ["uv", "pip", "install", "-q", "-p", python, "--exclude-newer", uv["exclude-newer"], str(wheel)]
    subprocess.run(install, cwd=tmp_path, check=True)
    folder = tmp_path / "project"
    folder.mkdir()
    environment = {"PATH": f"{tmp_path}/env/bin:{os.defpath}", "HOME": str(tmp_path)}

    def said(*words: str, code: int = 0) -> str:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert (done.stderr == "") == (code == 0), done.stderr
        return done.stdout + done.stderr

    place = said("python", "-c", "import pmodel.runs.typed as t; print(t.CONFIG_DIR)").strip()
    assert place.endswith("site-packages/pmodel/conf")
    assert "uv run" not in said("pmodel", "train", "model=pca", *SMALL, "hydra.run.dir=pca")
    assert "evaluate  pmodel eval run=vae" in said(
        "pmodel", "train", "model=vae", *SMALL, "trainer.max_epochs=2", "trainer=ddp_cpu", "hydra.run.dir=vae"
    )
    said("python", "-m", "pmodel", "train", "resume=vae", "trainer.max_epochs=3")
    quick = ["metric.samples.num_samples=50", "metric.memorization.num_samples=50", "metric.likelihood.num_samples=5"]
    said("pmodel", "eval", "run=[pca,vae]", *quick)
    assert list(folder.glob("logs/eval/*/report.html"))
    shape = "import pmodel; print(tuple(pmodel.open_run('zoo/vae').model.sample(2).shape))"
    assert said("python", "-c", shape) == "(2, 1, 28, 28)\n"
    said("pmodel", "train", "resume=zoo/vae", "trainer.max_epochs=31")
    assert list(folder.glob("logs/train/vae-mnist_5k/*/results.json"))
    assert said("python", "-c", "from pmodel.testing import contract; contract('model=pca', 'data=digits')") == ""
    said("pmodel", "train", "-m", "model=pca", *SMALL, "seed=1,2", "hydra/launcher=joblib")
    for words, line in MISSING.items():
        assert f"error: {line}, which is not installed: pip install" in said("pmodel", *words, code=2)
