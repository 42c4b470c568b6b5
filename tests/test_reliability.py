"""What can happen to real runs: each fault of docs/reliability.md that concerns a whole training, brought about.

Each is one line that says what happened and how to go on, and loses nothing that was written before.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import Outcome, Run
from forked import EVENT, start_forked
from support import ROOT, run_directory, small_disk

from pmodel.callbacks.timing import Timing
from pmodel.commands.sweep_jobs import read_jobs
from pmodel.models.vae import VAE
from pmodel.processes.launch import Processes
from pmodel.processes.threads import usual_threads

SMALL = ["data.limit=64", "data.batch_size=16", "trainer.max_epochs=3", "callbacks=minimal", "logger=csv"]
TWO = ["trainer=ddp_cpu"]


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch):
    """Lets something happen in the first process after so many steps."""
    original = Timing.on_train_batch_end

    def arrange(step: int, happens):
        def hook(self, trainer, *args):
            original(self, trainer, *args)
            if trainer.global_step == step:
                happens()

        monkeypatch.setattr(Timing, "on_train_batch_end", hook)

    yield arrange
    monkeypatch.setattr(Timing, "on_train_batch_end", original)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processes, "_start", start_forked)


def status(run: Path) -> dict:
    return json.loads((run / "status.json").read_text())


def checkpoint(run: Path, name: str = "last.ckpt") -> dict:
    return torch.load(run / "checkpoints" / name, weights_only=True)


def same_weights(a: Path, b: Path) -> bool:
    ours, theirs = checkpoint(a)["state_dict"], checkpoint(b)["state_dict"]
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def error(outcome: Outcome, code: int = 1) -> str:
    """The one line that says why it ended, with this exit code and without a traceback."""
    assert outcome.code == code
    assert "Traceback" not in outcome.err
    (line,) = (line for line in outcome.err.splitlines() if line.startswith("error: "))
    return line


def kept(run: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_of_two_processes_stops_both_and_they_go_on(
    rank, train: Run, tmp_path, at_step, forked, monkeypatch
):
    assert train(*SMALL, *TWO, "paths.log_dir=whole").code == 0
    with monkeypatch.context() as patch:
        patch.setenv(EVENT, "1 6 stop" if rank == 1 else "")
        at_step(6 if rank == 0 else -1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        outcome = train(*SMALL, *TWO)
    monkeypatch.chdir(tmp_path)
    assert outcome.code == 75
    run = run_directory(tmp_path / "logs")
    assert status(run)["status"] == "stopped"
    assert f"stopped by SIGTERM; go on with: uv run train.py resume={run.relative_to(tmp_path)}" in outcome.err
    assert checkpoint(run)["global_step"] == 6
    at_step(-1, lambda: None)
    assert train(f"resume={run}").code == 0
    assert same_weights(run, run_directory(tmp_path / "whole"))


def test_a_process_that_dies_ends_the_other_and_is_named(train: Run, tmp_path, monkeypatch, forked):
    monkeypatch.setenv(EVENT, "1 6 kill")
    start = time.monotonic()
    outcome = train(*SMALL, *TWO)
    assert time.monotonic() - start < 200
    line = error(outcome)
    run = run_directory(tmp_path / "logs").relative_to(tmp_path)
    assert "process 2 of 2 (rank 1) was killed by SIGKILL, as the system does when memory runs out" in line
    assert f"go on with: uv run train.py resume={run}" in line
    assert status(run)["status"] == "failed"
    assert checkpoint(run)["global_step"] == 4


def test_a_failure_of_another_process_is_told_in_its_words(train: Run, tmp_path, monkeypatch, forked):
    monkeypatch.setenv(EVENT, "1 6 fail")
    outcome = train(*SMALL, *TWO)
    line = error(outcome)
    assert "process 2 of 2 (rank 1): ValueError: the second one has had enough" in line
    run = run_directory(tmp_path / "logs")
    assert "Traceback" in (run / "train_1.log").read_text()


def test_a_full_disk_leaves_the_last_good_checkpoint(train: Run, tmp_path, at_step):
    with small_disk(tmp_path / "disk", megabytes=40) as disk:

        def fill():
            with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(2**16))

        at_step(6, fill)
        outcome = train(*SMALL, "paths.log_dir=disk")
        line = error(outcome)
        assert re.search(r"can't be written: the disk is full \(.* needed beside what it held, .* free\)", line)
        run = run_directory(disk)
        assert checkpoint(run)["global_step"] == 4
        assert not list(run.rglob("*.tmp"))
        at_step(-1, lambda: None)
        (disk / "filler").unlink()
        assert train(f"resume={run}").code == 0
        assert checkpoint(run)["global_step"] == 12


def test_a_loss_that_is_no_number_stops_at_once_with_the_term_the_step_and_the_checkpoint(
    train: Run, tmp_path, monkeypatch
):
    original, calls = VAE.loss, []

    def loss(self, batch):
        calls.append(1)
        terms = original(self, batch)
        return {name: term * (float("nan") if len(calls) > 12 and name != "kl" else 1) for name, term in terms.items()}

    monkeypatch.setattr(VAE, "loss", loss)
    outcome = train(*SMALL)
    line = error(outcome)
    run = run_directory(tmp_path / "logs")
    assert re.search(r"loss is nan, .*reconstruction nan at step ", line)
    assert f"the last good checkpoint is {run.relative_to(tmp_path)}/checkpoints/last.ckpt" in line
    assert "lr" in line
    assert all(value.isfinite().all() for value in checkpoint(run)["state_dict"].values())
    step = int(re.search(r"at step (\d+)", line)[1])
    assert checkpoint(run)["global_step"] < step <= 12


def test_without_memory_the_settings_that_need_less_are_named(train: Run, tmp_path, at_step):
    def run_out():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    at_step(6, run_out)
    outcome = train(*SMALL)
    line = error(outcome)
    assert "out of memory on the GPU (2.00 GiB more were asked for): lower " in line
    assert "data.batch_size (now 16)" in line
    assert "go on with: uv run train.py resume=" in line


def test_a_damaged_checkpoint_is_named_with_the_newest_whole_one(train: Run, tmp_path):
    assert train(*SMALL, "callbacks.snapshots.every_n_epochs=1").code == 0
    run = run_directory(tmp_path / "logs")
    assert train(*SMALL, "trainer.max_epochs=4", "paths.log_dir=whole").code == 0
    last, best = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    best.write_bytes(b"")
    before = kept(run)
    line, newest = error(train(f"resume={run}", "trainer.max_epochs=4"), 2), "checkpoints/epoch_002.ckpt"
    assert "last.ckpt is no whole checkpoint" in line
    assert line.endswith(f"; the newest whole one has 3 epochs: resume={run.relative_to(tmp_path)}/{newest}")
    assert kept(run) == before
    assert train(f"resume={run / newest}", "trainer.max_epochs=4").code == 0
    assert same_weights(run, run_directory(tmp_path / "whole"))


def test_a_run_without_its_last_checkpoint_is_not_begun_again_over_what_it_has_left(train: Run, tmp_path):
    assert train(*SMALL, "callbacks.snapshots.every_n_epochs=1", "hydra.run.dir=run").code == 0
    run = tmp_path / "run"
    last = run / "checkpoints" / "last.ckpt"
    last.unlink()
    newest = "; the newest whole one has 3 epochs: resume=run/checkpoints/epoch_002.ckpt"
    for make, what in (
        (lambda: None, "is missing"),
        (last.mkdir, "is no file"),
        (lambda: (last.rmdir(), last.symlink_to("nowhere")), "is no file"),
    ):
        make()
        before = kept(run)
        for words in (["resume=run", "trainer.max_epochs=4"], ["resume=run/", "trainer.max_steps=30"]):
            assert error(train(*words), 2) == f"error: resume: run/checkpoints/last.ckpt {what}{newest}"
        assert kept(run) == before
    last.unlink()
    for file in (run / "checkpoints").glob("epoch_*.ckpt"):
        file.write_bytes(b"")
    assert "; the newest whole one has 3 epochs: resume=run/checkpoints/best.ckpt" in train(*words).err
    for file in (run / "checkpoints").iterdir():
        file.unlink()
    before = kept(run)
    line = error(train(*words), 2)
    assert line == "error: resume: that run is done, but run/checkpoints/last.ckpt is missing; there is no other"
    assert kept(run) == before


def test_a_job_without_its_last_checkpoint_is_not_begun_again_either(train: Run, tmp_path):
    sweep = ["-m", "seed=1,2", *SMALL, "hydra.sweep.dir=sweep"]
    assert train(*sweep).code == 0
    first = next((tmp_path / "sweep").glob("0-*"))
    (first / "status.json").write_text(json.dumps(status(first) | {"status": "running"}))
    (first / "checkpoints" / "last.ckpt").unlink()
    before = kept(first / "checkpoints")
    outcome = train(*sweep)
    assert outcome.code == 1
    assert "checkpoints/last.ckpt is missing; the newest whole one has 3 epochs: resume=sweep/" in outcome.err
    assert kept(first / "checkpoints") == before


def test_a_status_of_another_form_is_refused_by_all_who_read_it(train: Run, evaluate: Run, tmp_path):
    run = tmp_path / "run"
    assert train(*SMALL, "trainer.max_epochs=1", "hydra.run.dir=run").code == 0
    form, threads = "and this version of pmodel reads 2: ", "expected a number from 1 to 4096"
    for content, said in (
        ({"schema": 99}, f"its form is 99, {form}a newer version wrote it"),
        ({"schema": 0}, f"its form is 0, {form}an older version wrote it"),
        ({"schema": "1"}, f"its form is '1', {form}"),
        ({"schema": True}, f"its form is True, {form}a newer"),
        ({"threads": 0}, f"run/status.json says threads: 0; {threads}"),
        ({"threads": -1}, f"run/status.json says threads: -1; {threads}"),
        ({"threads": "many"}, f"run/status.json says threads: 'many'; {threads}"),
    ):
        (run / "status.json").write_text(json.dumps({"schema": 2, "status": "running"} | content))
        before = kept(run)
        for command, words in (
            (train, ["resume=run"]),
            (train, ["resume=run/checkpoints/last.ckpt", "trainer.max_epochs=4"]),
            (evaluate, ["run=run"]),
            (train, [*SMALL, "hydra.run.dir=run"]),
        ):
            assert said in error(command(*words), 2)
            assert kept(run) == before
        # A table of several runs has a row for it.
        (job,) = read_jobs(tmp_path)
        assert job.status == "unknown"
        assert said.removeprefix("run/") in job.reason


def test_a_run_keeps_its_number_of_threads_whatever_the_environment_says(train: Run, tmp_path, monkeypatch):
    """Of one process, of two, and of a job of a multirun that comes after another; with the same last bits."""
    before = torch.get_num_threads()
    own, other = before + 1, before + 2
    monkeypatch.setenv("OMP_NUM_THREADS", str(own))
    assert train(*SMALL, "hydra.run.dir=whole").code == 0
    assert train(*SMALL, "trainer.max_epochs=2", "hydra.run.dir=run").code == 0
    assert status(tmp_path / "run")["threads"] == own
    monkeypatch.setenv("OMP_NUM_THREADS", str(other))
    outcome = train("resume=run", "trainer.max_epochs=3")
    assert f"threads: {own}, as when the run began (a new run would take {other} here)\n" in outcome.out
    assert status(tmp_path / "run")["threads"] == own
    assert same_weights(tmp_path / "run", tmp_path / "whole")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert f"threads: {own}, as when" in train("resume=run", "trainer.max_epochs=4").out
    assert torch.get_num_threads() == before


def test_jobs_of_a_multirun_compute_with_threads_of_their_own(train: Run, tmp_path, forked, monkeypatch):
    """The second is of two processes, and shares the processors out, though PyTorch was imported by the first."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)))
    monkeypatch.setattr("pmodel.processes.threads.THREADS_PAY_FROM", 0)
    before = usual_threads
    assert train("-m", "trainer=cpu,ddp_cpu,cpu", *SMALL, "trainer.max_epochs=1", "hydra.sweep.dir=sweep").code == 0
    jobs = sorted((tmp_path / "sweep").glob("*-*"))
    assert [status(job)["threads"] for job in jobs] == [before, 3, before]
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_run_that_was_cut_before_its_first_checkpoint_begins_again(train: Run, tmp_path, monkeypatch):
    from pmodel.data.digits import Digits

    def interrupted(self, split):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Digits, "load", interrupted)
        outcome = train(*SMALL)
    assert outcome.code == 130
    assert "stopped by SIGINT" in outcome.err
    monkeypatch.chdir(tmp_path)
    run = run_directory(tmp_path / "logs")
    assert status(run)["status"] == "stopped"
    assert train(f"resume={run}").code == 0
    assert status(run)["status"] == "done"
    assert train(*SMALL, "paths.log_dir=whole").code == 0
    assert same_weights(run, run_directory(tmp_path / "whole"))


def test_a_run_that_was_cut_after_its_last_step_is_brought_to_its_end(train: Run, tmp_path, monkeypatch):
    """Its figures and its results are those of a run that was not."""
    from pmodel.commands import announce

    drawn = [word for word in SMALL if word != "callbacks=minimal"] + ["callbacks.final.num_samples=3"]
    assert train(*drawn, "paths.log_dir=whole").code == 0

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(announce, "collect_numbers", killed)
        assert train(*drawn).code == 130
    monkeypatch.chdir(tmp_path)
    run, whole = run_directory(tmp_path / "logs"), run_directory(tmp_path / "whole")
    assert not (run / "results.json").exists()
    shutil.rmtree(run / "figures")
    outcome = train(f"resume={run}")
    assert outcome.code == 0, outcome.err
    ours, theirs = (
        {n["name"]: n["value"] for n in json.loads((folder / "results.json").read_text())["numbers"]}
        for folder in (run, whole)
    )
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == theirs[name] for name in ours if name not in ("training_time", "throughput"))
    for figure in ("samples", "reconstructions"):
        assert (run / f"figures/{figure}.png").read_bytes() == (whole / f"figures/{figure}.png").read_bytes()


def test_a_run_that_was_moved_keeps_its_best_checkpoint(train: Run, tmp_path):
    """Training goes on with a step that makes it worse."""
    assert train(*SMALL, "model/schedule=exponential", "model.optimizer.lr=0.002", "hydra.run.dir=before").code == 0
    first = checkpoint(tmp_path / "before", "best.ckpt")["epoch"]
    state = torch.load(tmp_path / "before/checkpoints/last.ckpt", weights_only=True)
    for group in state["optimizer_states"][0]["param_groups"]:
        group["lr"] = 0.05
    state["lr_schedulers"][0]["_last_lr"] = [0.05]
    torch.save(state, tmp_path / "before/checkpoints/last.ckpt")
    shutil.move(tmp_path / "before", tmp_path / "after")
    assert train("resume=after", "trainer.max_epochs=4").code == 0
    assert checkpoint(tmp_path / "after", "best.ckpt")["epoch"] == first
    kept = checkpoint(tmp_path / "after")["callbacks"]["BestCheckpoint"]
    assert kept["best_epoch"] == first + 1
    assert kept["best_model_path"] == str(tmp_path / "after/checkpoints/best.ckpt")


def test_what_goes_on_from_an_older_checkpoint_is_gone_on_with_itself(train: Run, tmp_path, at_step):
    every = ["callbacks.snapshots.every_n_epochs=1", "callbacks.snapshots.keep=4"]
    assert train(*SMALL, *every, "trainer.max_epochs=4").code == 0
    run = run_directory(tmp_path / "logs")
    at_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert train(f"resume={run}/checkpoints/epoch_000.ckpt", "trainer.max_epochs=3").code == 75
    at_step(-1, lambda: None)
    assert train(f"resume={run}").code == 0
    assert checkpoint(run)["global_step"] == 12
    best = checkpoint(run, "best.ckpt")
    assert best["epoch"] + 1 == checkpoint(run)["callbacks"]["BestCheckpoint"]["best_epoch"] <= 3
    epochs = [line.split(",")[1] for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    assert epochs == ["0", "1", "2"]


def test_a_second_signal_does_not_wait_and_is_no_ctrl_c(train: Run, tmp_path, monkeypatch):
    from pmodel.callbacks.progress import Progress

    def told_twice(self, trainer, pl_module):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.1)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_validation_start", told_twice, raising=False)
        assert train(*SMALL).code == 75
    assert status(run_directory(tmp_path / "logs"))["reason"] == "stopped by SIGTERM"


def test_a_signal_while_the_last_figures_are_drawn_is_obeyed(train: Run, tmp_path, monkeypatch):
    from pmodel.callbacks.progress import Progress

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_end", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        assert train(*SMALL).code == 75
    monkeypatch.chdir(tmp_path)
    run = run_directory(tmp_path / "logs")
    assert status(run)["status"] == "stopped"
    assert train(f"resume={run}").code == 0
    assert status(run)["status"] == "done"


def test_every_fault_in_the_table_names_a_test_that_exists():
    rows = re.findall(r"^\| .* \| `(tests/\S+)::(\w+)` \|$", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE)
    assert len(rows) >= 10
    for file, name in rows:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), f"{file}::{name}"
