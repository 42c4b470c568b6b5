"""A training starts without the libraries that it has no use for, and names one that is asked for and isn't there."""

import re
import subprocess
import sys

import pytest
from support import ROOT

from pmodel.config.check import check_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import ConfigError
from pmodel.features.inception import inception_extractor

OPTIONAL = (
    *("wandb", "optuna", "submitit", "tensorboard"),
    *("hydra_plugins.hydra_joblib_launcher", "hydra_plugins.hydra_submitit_launcher"),
)
WITHOUT = f"""
import runpy, sys
sys.modules |= dict.fromkeys({OPTIONAL}, None)  # whoever imports one of them meets a ModuleNotFoundError
sys.argv = sys.argv[1:]
sys.path.insert(0, {str(ROOT)!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_a_training_and_its_evaluation_say_nothing_of_libraries_that_they_do_not_need(tmp_path):
    settings = [
        "model=pca",
        "data=digits",
        "data.limit=64",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "callbacks=minimal",
        "logger=csv",
    ]
    quick = ["metric.samples.num_samples=50", "metric.memorization.num_samples=50", "callbacks.figures=null"]
    for script, arguments in (("train.py", [*settings, "hydra.run.dir=run"]), ("eval.py", ["run=run", *quick])):
        command = [sys.executable, "-c", WITHOUT, str(ROOT / script), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize(
    ("typed", "missing", "expected"),
    [
        ("logger=wandb", "wandb", "wandb"),
        ("logger=tensorboard", "tensorboard", "pmodel[tensorboard]"),
        ("sweep=vae_optuna", "optuna", "pmodel[optuna]"),
        ("hydra/launcher=joblib", "hydra_plugins.hydra_joblib_launcher", "hydra-joblib-launcher"),
        ("hydra/launcher=submitit_local", "hydra_plugins.hydra_submitit_launcher", "pmodel[submitit]"),
    ],
)
def test_one_line_names_what_is_asked_for_and_missing(typed, missing, expected, monkeypatch):
    register_resolvers()
    launched = typed.startswith("hydra")
    name = typed.replace("=", ".") if typed.startswith("logger") else typed
    expected = f"{name}: needs {expected}, which is not installed: pip install '{expected}'"
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"^{re.escape(expected)}"):
        check_overrides("train", [typed], multirun=launched)


def test_a_folder_that_wandb_made_is_no_library(tmp_path, monkeypatch):
    register_resolvers()
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(ConfigError, match=r"^logger\.wandb: needs wandb, which is not installed"):
        check_overrides("train", ["logger=wandb"])


def test_inception_without_torch_fidelity_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r"^metric/features=inception: needs pmodel\[inception\], which is "):
        inception_extractor()
