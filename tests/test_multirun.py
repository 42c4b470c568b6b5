"""A multirun that is cut and typed again, and where runs and multiruns write."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import Run
from forked import Fork, start_forked
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from support import CONFIG_DIR, ROOT

from pmodel.callbacks.timing import Timing
from pmodel.commands.command_line import checked_command_line
from pmodel.commands.directories import Directories, finish_sweep
from pmodel.config.resolvers import register_resolvers
from pmodel.files.run_files import SWEEP
from pmodel.processes.launch import Processes

SMALL = ["data.limit=64", "data.batch_size=32", "trainer.max_epochs=12", "callbacks=minimal", "logger=csv"]
# Points: the images' network of features would be trained first.
FOUR = ["-m", "model=vae,gan", "seed=1,2", "trainer=ddp_cpu", *SMALL, "data=points"]
FOUR += ["callbacks.frechet.every_n_epochs=12"]


def status(job: Path) -> str:
    return json.loads((job / "status.json").read_text())["status"]


def weights(job: Path) -> dict[str, torch.Tensor]:
    return torch.load(job / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_a_multirun_on_two_processes_that_is_killed_goes_on_where_it_was(train: Run, tmp_path, monkeypatch):
    """Four jobs; the third is killed in the middle of its training, with all that belongs to it."""
    monkeypatch.setattr(Processes, "_start", start_forked)
    command = [sys.executable, str(ROOT / "train.py"), *FOUR]
    first = Fork(command, dict(os.environ))
    third = "logs/multirun/*/2-gan-points/checkpoints/last.ckpt"
    until = time.monotonic() + 600
    while not list(tmp_path.glob(third)):
        assert time.monotonic() < until, "the third job has not come to its first checkpoint"
        assert first.poll() is None
        time.sleep(0.02)
    first.kill()
    first.wait(100)
    (folder,) = tmp_path.glob("logs/multirun/*")
    assert [status(job) for job in sorted(folder.glob("*-*"))] == ["done", "done", "running"]
    ended = {job.name: (job / "results.json").stat().st_mtime_ns for job in sorted(folder.glob("*-vae-*"))}

    outcome = train(*FOUR)
    assert outcome.code == 0, outcome.err
    assert list(tmp_path.glob("logs/multirun/*")) == [folder]
    said = outcome.out.splitlines()
    assert said[0] == "vae on points, gan on points: loading …"
    assert said[1] == f"goes on with {folder.relative_to(tmp_path)}/ (jobs: 2 done, 1 running)"
    skipped = [line for line in said if line.startswith("skipped")]
    assert [line.split("/")[-2] for line in skipped] == ["0-vae-points", "1-vae-points"]
    assert ended == {job.name: (job / "results.json").stat().st_mtime_ns for job in sorted(folder.glob("*-vae-*"))}
    assert "resumed in epoch" in outcome.out
    jobs = sorted(folder.glob("*-*-points"))
    assert [status(job) for job in jobs] == ["done"] * 4
    assert len((folder / "summary.csv").read_text().splitlines()) == 5
    assert json.loads((folder / SWEEP).read_text())["status"] == "done"
    # As if nothing had happened.
    assert train(*FOUR[1:], "paths.log_dir=whole").code == 2  # several values without -m
    assert train("model=gan", "seed=1", *FOUR[3:], "paths.log_dir=whole").code == 0
    (alone,) = tmp_path.glob("whole/train/*/*")
    ours, uncut = weights(jobs[2]), weights(alone)
    assert all(torch.equal(ours[name], uncut[name]) for name in uncut)
    assert len(ours) == len(uncut)


def test_a_job_whose_settings_have_changed_does_not_stop_the_others(train: Run, tmp_path):
    command = ["-m", "seed=1,2", *SMALL, "trainer.max_epochs=1", "hydra.sweep.dir=sweep"]
    assert train(*command).code == 0
    jobs = sorted(file.parent for file in tmp_path.glob("sweep/*/status.json"))
    assert [job.name for job in jobs] == ["0-vae-digits", "1-vae-digits"]
    a, b = map(weights, jobs)
    assert any(not torch.equal(a[name], b[name]) for name in a)
    for job in jobs:
        content = json.loads((job / "status.json").read_text())
        (job / "status.json").write_text(json.dumps(content | {"status": "stopped"}))
    config = jobs[0] / "config.yaml"
    config.write_text(config.read_text().replace("batch_size: 32", "batch_size: 31"))
    outcome = train(*command)
    assert outcome.code == 1
    changed = "sweep/0-vae-digits: its settings have changed since it began; hydra.sweep.dir=… begins anew"
    assert f"error: {changed}" in outcome.err
    assert "Traceback" not in outcome.err
    assert [status(job) for job in jobs] == ["stopped", "done"]


def composed(folder: Path, *typed: str, hydra: tuple[str, ...] = ()) -> DictConfig:
    """The config of a multirun, as Hydra hands it to its callbacks."""
    register_resolvers()
    lines = [*typed, f"paths.log_dir={folder}", "name=test", *hydra]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("train", lines, return_hydra_config=True)
    config.hydra.overrides.task, config.hydra.overrides.hydra = list(typed), list(hydra)
    return config


def begun(folder: Path, *typed: str, hydra: tuple[str, ...] = ()) -> Path:
    config = composed(folder, *typed, hydra=hydra)
    Directories().on_multirun_start(config)
    assert any(str(config.hydra.sweep.dir) in line for line in config.hydra.overrides.hydra)
    return Path(config.hydra.sweep.dir)


def test_the_same_multirun_goes_on_until_it_is_done(tmp_path, capsys):
    first = begun(tmp_path, "seed=1")
    finish_sweep(first, "failed")
    assert begun(tmp_path, "seed=1") == first
    assert capsys.readouterr().out == ""  # no job was begun
    (first / "0-test").mkdir()
    (first / "0-test" / "status.json").write_text(json.dumps({"status": "stopped"}))
    finish_sweep(first, "stopped")
    assert begun(tmp_path, "seed=1") == first
    assert "goes on with" in capsys.readouterr().out
    finish_sweep(first, "done")
    second = begun(tmp_path, "seed=1")
    assert second != first
    assert capsys.readouterr().out == f"a new multirun; the same one was done in {first}/\n"
    finish_sweep(second, "done")


def test_another_multirun_or_one_at_work_is_left_alone(tmp_path, capsys):
    first = begun(tmp_path, "seed=1")
    try:
        other = begun(tmp_path, "seed=2")
        same = begun(tmp_path, "seed=1")  # the first is at work: this very process
        assert len({first, other, same}) == 3
        with pytest.raises(SystemExit, match="2"):
            begun(tmp_path, "seed=1", hydra=(f"hydra.sweep.dir={first}",))
        assert "in use by process" in capsys.readouterr().err
    finally:
        finish_sweep(first, "failed")
    with pytest.raises(SystemExit, match="2"):
        begun(tmp_path, "seed=3", hydra=(f"hydra.sweep.dir={first}",))
    assert "there is a multirun of other jobs in it: ['seed=1'" in capsys.readouterr().err


def test_a_multirun_that_is_told_to_stop_says_how_all_of_it_goes_on(train: Run, tmp_path, monkeypatch):
    original = Timing.on_train_batch_end

    def told_in_the_second_job(self, trainer, *args):
        original(self, trainer, *args)
        if "1-vae" in trainer.loggers[-1].save_dir and trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    command = ["-m", "seed=1,2,3", *SMALL, "trainer.max_epochs=3", "logger=tensorboard"]
    with monkeypatch.context() as patch:
        patch.setattr(Timing, "on_train_batch_end", told_in_the_second_job)
        outcome = train(*command)
    assert outcome.code == 130
    (folder,) = tmp_path.glob("logs/multirun/*")
    shown = folder.relative_to(tmp_path)
    assert outcome.err.splitlines()[-2:] == [
        "stopped by SIGINT",
        f"go on with: uv run train.py resume={shown} (1 of 2 jobs that were begun are done)",
    ]
    assert json.loads((folder / SWEEP).read_text())["status"] == "stopped"
    assert [line.split(",")[2] for line in (folder / "summary.csv").read_text().splitlines()] == [
        "status",
        "done",
        "stopped",
    ]
    monkeypatch.chdir(tmp_path)
    outcome = train(f"resume={shown}")
    assert outcome.code == 0, outcome.err
    assert [status(folder / f"{i}-vae-digits") for i in range(3)] == ["done"] * 3
    assert "resumed in epoch 2" in outcome.out


def test_a_signal_between_two_jobs_ends_a_multirun_before_the_next_one(train: Run, tmp_path, monkeypatch):
    """There Hydra composes, and OmegaConf makes another error of an interruption."""
    from pmodel.commands import sweeps

    original = sweeps.SweepSummary.on_job_end

    def told(self, config, job_return, **kwargs):
        original(self, config, job_return, **kwargs)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(sweeps.SweepSummary, "on_job_end", told)
        outcome = train("-m", "seed=1,2", *SMALL, "trainer.max_epochs=1")
    assert outcome.code == 75
    assert "stopped by SIGTERM; go on with: uv run train.py resume=" in outcome.err
    assert "Traceback" not in outcome.err
    assert len(list(tmp_path.glob("logs/multirun/*/*/status.json"))) == 1


def test_resume_of_a_multirun_is_what_was_typed_for_it(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "multirun"
    folder.mkdir()
    (folder / SWEEP).write_text(json.dumps({"typed": ["-m", "seed=1,2", "hydra.sweep.dir=old"], "task": []}))
    argv = checked_command_line("train", [f"resume={folder}"])
    assert argv == ["-m", "seed=1,2", f"hydra.sweep.dir='{folder}'"]
    with pytest.raises(SystemExit):
        checked_command_line("train", [f"resume={folder}", "seed=3"])
    assert "seed=3: a resumed multirun keeps its settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["hydra/launcher=joblib"], "hydra/launcher=joblib: a launcher starts the jobs of a multirun; add --multirun"),
        (["-m", "hydra/launcher=slurm", "seed=1,2"], "hydra/launcher=slurm: there is no sbatch on this machine"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "seed=1,2"], "hydra.launcher.n_jobs=0: expected"),
    ],
)
def test_a_launcher_that_can_launch_nothing_is_refused(typed, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        checked_command_line("train", typed)
    assert message in capsys.readouterr().err


def test_two_runs_in_the_same_second_have_two_directories(tmp_path, monkeypatch):
    made = []
    for _ in range(2):
        config = composed(tmp_path, hydra=())
        config.hydra.run.dir = str(tmp_path / "2026-01-31_12-00-00")
        Directories().on_run_start(config)
        made.append(Path(config.hydra.run.dir).name)
    assert made == ["2026-01-31_12-00-00", "2026-01-31_12-00-00_2"]


def test_a_slurm_job_finds_its_directory_again_when_it_is_requeued(tmp_path, monkeypatch, capsys):
    for name, value in {"JOB_ID": "42", "STEP_ID": "0", "NTASKS": "2", "STEP_NUM_NODES": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    made = set()
    for task in ("0", "1", "0"):
        monkeypatch.setenv("SLURM_PROCID", task)
        config = composed(tmp_path, "trainer.devices=2")
        Directories().on_run_start(config)
        made.add(str(config.hydra.run.dir))
    assert made == {f"{tmp_path}/train/test/slurm_42"}
    config = composed(tmp_path, "trainer.devices=1")
    with pytest.raises(SystemExit, match="2"):
        Directories().on_run_start(config)
    assert "slurm started 2 processes; type trainer.devices=2 trainer.num_nodes=1" in capsys.readouterr().err


def test_several_machines_need_something_that_starts_processes_on_them(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        Directories().on_run_start(composed(tmp_path, "trainer.num_nodes=2"))
    assert "trainer.num_nodes=2: several machines need torchrun, or srun" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_to_is_one_line(train: Run, tmp_path):
    (tmp_path / "file").write_text("no folder")
    for extra in ([], ["-m", "seed=1,2"]):
        outcome = train("paths.log_dir=file/logs", *SMALL, *extra)
        assert outcome.code == 2
        assert outcome.err == f"error: paths.log_dir=file/logs: expected a folder, and {tmp_path / 'file'} is none\n"


def test_two_nodes_under_torchrun_share_a_directory_and_end_with_the_weights_of_one_process(train: Run, tmp_path):
    settings = [
        "model=vae",
        "data=digits",
        "data.limit=65",
        "data.batch_size=33",
        "trainer.max_epochs=2",
        "callbacks=minimal",
    ]
    settings += ["logger=csv", "model/optimizer=sgd", "data.binarize=dynamic"]
    nodes = []
    for rank in range(2):
        command = [str(Path(sys.executable).with_name("torchrun")), "--nnodes=2", "--nproc-per-node=1"]
        command += [f"--node-rank={rank}", "--master-addr=127.0.0.1", "--master-port=29517", str(ROOT / "train.py")]
        command += [*settings, "trainer.num_nodes=2", "trainer=cpu", "paths.log_dir=two"]
        with (tmp_path / f"node_{rank}.txt").open("w") as out:
            nodes.append(subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out, stdin=subprocess.DEVNULL))
    assert train(*settings, "paths.log_dir=one").code == 0
    try:
        assert [node.wait(600) for node in nodes] == [0, 0], (tmp_path / "node_0.txt").read_text()
    finally:
        for node in nodes:
            node.send_signal(signal.SIGTERM)
    assert "2 × cpu" in (tmp_path / "node_0.txt").read_text()
    (one,), (two,) = (list(tmp_path.glob(f"{name}/train/*/*")) for name in ("one", "two"))
    ours, alone = weights(two), weights(one)
    assert all(torch.allclose(ours[name], alone[name], rtol=1e-5, atol=1e-6) for name in alone)
    moved = torch.load(one / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert moved == 4
