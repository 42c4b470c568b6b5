"""How many threads a training computes with: by the size of its steps, unless somebody says."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import Run
from support import build, run_directory
from torch import nn

from pmodel.processes import threads as module
from pmodel.processes.threads import THREADS_PAY_FROM, threads_for, work

SMALL = ["data.limit=64", "trainer.max_epochs=1", "callbacks=minimal", "logger=csv", "trainer=cpu"]


def test_the_work_of_a_step_counts_a_convolution_once_for_each_pixel():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(10, 20, bias=False))
    assert work(model, [1, 8, 8], 5) == 5 * ((4 * 9) * 64 + 4 + 200)
    assert work(model, [3], 5) == 5 * (4 * 9 + 4 + 200)


def fake(batch_size: int, processes_here: int = 1, device: str = "cpu") -> tuple[SimpleNamespace, SimpleNamespace]:
    """Data and a trainer, as far as `threads_for` looks at them."""
    strategy = SimpleNamespace(root_device=torch.device(device))
    trainer = SimpleNamespace(num_devices=processes_here, world_size=processes_here, strategy=strategy)
    return SimpleNamespace(shape=[10], batch_size=batch_size), trainer


def test_small_steps_take_one_thread_and_large_ones_their_share(monkeypatch):
    monkeypatch.setattr(module, "usual_threads", 12)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda process: set(range(12)), raising=False)
    model = nn.Linear(1000, 1000, bias=False)
    enough = int(THREADS_PAY_FROM) // 10**6
    assert threads_for(model, *fake(enough - 1)) == 1
    assert threads_for(model, *fake(enough)) == 12
    assert threads_for(model, *fake(4 * enough, 4)) == 3
    assert threads_for(model, *fake(4 * enough - 4, 4)) == 1  # what each of the four has to do counts
    assert threads_for(model, *fake(1, device="cuda")) == 12  # on a GPU the steps are not the CPU's


@pytest.mark.parametrize(
    ("typed", "is_small"),
    [
        (["model=vae"], True),
        (["model=gan"], True),
        (["model=pixelcnn"], True),
        (["model=kmeans"], True),
        (["experiment=pixelcnn_mnist"], False),
        (["experiment=dcgan_mnist"], False),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_models_on_the_digits_are_small_and_convolutions_on_mnist_are_not(typed, is_small):
    model, data = build(*typed)
    assert (work(model, data.shape, data.batch_size) < THREADS_PAY_FROM) == is_small


def threads(run: Path) -> int:
    return json.loads((run / "status.json").read_text(encoding="utf-8"))["threads"]


def test_the_choice_is_said_and_kept_and_can_be_made_by_the_user(train: Run, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(module, "usual_threads", 3)
    outcome = train(*SMALL)
    assert "1 × cpu with 1 thread\n" in outcome.out
    assert threads(run_directory(tmp_path / "logs")) == 1
    outcome = train(*SMALL, "threads=2", "hydra.run.dir=two")
    assert "1 × cpu with 2 threads\n" in outcome.out
    assert threads(tmp_path / "two") == 2
    monkeypatch.setattr(module, "THREADS_PAY_FROM", 0)
    assert "with 3 threads\n" in train(*SMALL, "hydra.run.dir=all").out
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert "with 4 threads\n" in train(*SMALL, "hydra.run.dir=four").out
    assert "with 2 threads\n" in train(*SMALL, "threads=2", "hydra.run.dir=said").out
