"""Runs killed at random moments and resumed end bit-identical to runs that were never killed.

A handful of the trials of benchmarks/kill_and_resume.py, which makes a hundred.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from support import ROOT

if torch.cuda.is_available():
    pytest.skip("the trials are forks, which can't share a GPU", allow_module_level=True)


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """The script, as a module; those beside it are found while it is in use."""
    folder = ROOT / "benchmarks"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("kill_and_resume", folder / "kill_and_resume.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.import_everything()
    yield module
    sys.path.remove(str(folder))


@pytest.mark.parametrize(("kind", "processes"), [("vae", 1), ("gmm", 1), ("gan", 2)])
def test_a_run_that_is_killed_and_resumed_ends_bit_identical(kind, processes, benchmark, tmp_path):
    runs = benchmark.Runs(tmp_path, seed=processes, settings=["trainer.max_epochs=3", "data.limit=100"])
    trial = runs.trial(kind, processes)
    assert trial.kills
    assert trial.differences == []


def test_the_comparison_finds_one_bit(benchmark):
    unequal = sys.modules["same_run"].unequal
    a = {"weights": {"w": torch.zeros(3)}, "path": "/runs/a/best.ckpt", "seconds": 1.0, "n": [1, float("nan")]}
    b = {"weights": {"w": torch.zeros(3)}, "path": "/runs/b/best.ckpt", "seconds": 2.0, "n": [1, float("nan")]}
    assert unequal(a, b, "last", "/runs/a", "/runs/b") == []
    b["weights"]["w"][1] = 1e-45
    b["n"][0] = 2
    assert unequal(a, b, "last", "/runs/a", "/runs/b") == ["last.weights.w", "last.n[0]: 1, 2"]


def test_a_run_that_differs_is_found_and_kept(benchmark, tmp_path, monkeypatch):
    """Without the generators' states in the checkpoint, a resumed run draws other noise."""
    from pmodel.callbacks import resume

    runs = benchmark.Runs(tmp_path, seed=1, settings=["trainer.max_epochs=3", "data.limit=100"])
    expected, _ = runs.reference("vae", 1)
    monkeypatch.setattr(resume, "restore_random_states", lambda states: None)
    directory = tmp_path / "cut"
    started = runs._start("vae", 1, directory)
    checkpoint = directory / "checkpoints" / "last.ckpt"
    while not checkpoint.is_file():
        assert not started.wait(0.02)
    assert started.kill_after(0.0) != "ended before"
    runs._start("vae", 1, directory).finish()
    assert any("last.ckpt.state_dict" in line for line in benchmark.compare(Path(expected), directory))
