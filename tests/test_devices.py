"""Trainings on two processes, as of two devices, for every model; and what is the same as on one."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from conftest import Run
from forked import Fork, start_forked
from support import CONFIG_DIR, ROOT, free_port, run_directory

from pmodel.callbacks.timing import Timing
from pmodel.processes.launch import Processes

MODELS = sorted(file.stem for file in (CONFIG_DIR / "model").glob("*.yaml"))
TWO_STEPS = ["data.limit=128", "data.batch_size=64", "trainer.max_steps=2", "callbacks=minimal", "logger=csv"]
QUICK = ["metric.samples.num_samples=50", "metric.memorization.num_samples=50", "metric.likelihood.num_samples=2"]


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "_start", start_forked)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the feature network of the digits is kept, which is trained once."""
    return tmp_path_factory.mktemp("data")


# One of each way of training, and of those whose networks have states; the others are slow.
FEW = {"vae", "gan", "kmeans", "gmm", "pixelcnn", "classifier"}


@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=[] if model in FEW else pytest.mark.slow) for model in MODELS]
)
def test_every_model_trains_on_two_processes_and_is_evaluated(model, train: Run, evaluate: Run, tmp_path, forked, kept):
    outcome = train(f"model={model}", "trainer=ddp_cpu", *TWO_STEPS, f"data_dir={kept}")
    assert outcome.code == 0, outcome.err
    assert "2 × cpu" in outcome.out
    run = run_directory(tmp_path / "logs")
    assert json.loads((run / "status.json").read_text())["status"] == "done"
    assert checkpoint_steps(run) == 2
    # Only the first process writes: what the other one had of its own is gone.
    assert not list(run.glob("*_1.*"))
    outcome = evaluate(f"run={run}", *QUICK)
    assert outcome.code == 0, outcome.err
    assert list(run.glob("eval/*/report.html"))


def test_tasks_of_a_slurm_job_train_together_and_go_on_when_the_job_is_requeued(train: Run, tmp_path, monkeypatch):
    settings = [
        "model=vae",
        "data=digits",
        "trainer=ddp_cpu",
        "data.limit=64",
        "data.batch_size=32",
        "callbacks=minimal",
    ]
    settings += ["logger=csv", "trainer.max_epochs=3"]
    job = {"SLURM_JOB_ID": "31", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
    job |= {"SLURM_NODELIST": "localhost", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0", "SLURM_JOB_NAME": "x"}
    job |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "MASTER_ADDR": "127.0.0.1"}
    command = [sys.executable, str(ROOT / "train.py"), *settings]
    original = Timing.on_train_batch_end

    def told_to_stop(self, trainer, *args):
        original(self, trainer, *args)
        if trainer.global_step == 3 and trainer.global_rank == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        for name, value in job.items():
            patch.setenv(name, value)
        for stopped in (True, False):
            patch.setenv("MASTER_PORT", free_port())  # the first one's is still listened to by this process
            other = {**os.environ, "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}
            patch.setattr(Timing, "on_train_batch_end", told_to_stop if stopped else original)
            second = Fork(command, other)
            outcome = train(*settings)
            assert outcome.code == (75 if stopped else 0), outcome.err
            assert second.wait(100) == outcome.code
            torch.distributed.destroy_process_group()  # which ends with its process, elsewhere
            assert "2 × cpu" in outcome.out
    assert "resumed in epoch 2" in outcome.out
    run = run_directory(tmp_path / "logs")
    assert run.name == "slurm_31"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Processes, "_start", start_forked)
    assert train(*settings, "paths.log_dir=whole").code == 0
    ours, whole = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, run_directory(tmp_path / "whole"))
    )
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


def test_a_model_spread_over_devices_is_one_that_is_trained_by_one_gradient(train: Run):
    assert train("model=pixelcnn", "trainer=fsdp", "--cfg", "job").code == 0
    for model in ("gan", "kmeans"):
        outcome = train(f"model={model}", "trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=1", *TWO_STEPS)
        assert outcome.code == 2
        assert "error: trainer.strategy=fsdp: expected a model that is trained by one gradient" in outcome.err


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 1, reason="no CUDA device")
def test_a_model_is_spread_over_gpus(train: Run, tmp_path):
    outcome = train("model=pixelcnn", "trainer=fsdp", *TWO_STEPS)
    assert outcome.code == 0, outcome.err
    assert checkpoint_steps(run_directory(tmp_path / "logs")) == 2


def checkpoint_steps(run: Path) -> int:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
