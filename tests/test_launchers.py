"""Launchers run each job in its own directory and process, with the devices that it asks for."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Run
from forked import Fork
from support import ROOT

from pmodel.commands.command_line import checked_command_line
from pmodel.commands.directories import finish_sweep
from pmodel.commands.workers import claim, gpus_of, places
from pmodel.config.check import check_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import ConfigError

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
TINY = ("model=pca", "data=digits", "data.limit=64", "trainer.max_epochs=1", "trainer.accelerator=cpu")
QUIET = ("callbacks=minimal", "callbacks.progress=null", "logger=none")


def multirun(folder: Path, *typed: str, path: Path | None = None) -> tuple[int, str]:
    """Its exit code, and all that it says; what it starts are processes of their own."""
    environment = os.environ | ({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})
    process = Fork([sys.executable, str(ROOT / "train.py"), "-m", *typed, f"hydra.sweep.dir={folder}"], environment)
    return process.wait(600), process.said()


def statuses(folder: Path) -> dict[str, str]:
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        return {row["job"]: row["status"] for row in csv.DictReader(file)}


def test_joblib_runs_jobs_side_by_side_each_in_its_directory_and_names_the_one_that_failed(tmp_path):
    typed = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *TINY, *QUIET, "model.num_components=4,400"]
    code, said = multirun(tmp_path, *typed)
    assert statuses(tmp_path) == {"0-pca-digits": "done", "1-pca-digits": "failed"}, said
    assert code == 1
    # Not the last line: what a worker has printed may come later.
    (line,) = (line for line in said.splitlines() if "error: 1 of 2 jobs failed, the first in" in line)
    assert "1-pca-digits" in line


@pytest.mark.slow
def test_submitit_runs_each_job_in_a_subprocess(tmp_path):
    code, said = multirun(tmp_path, "hydra/launcher=submitit_local", *TINY, *QUIET, "model.num_components=4,8")
    assert code == 0, said
    assert statuses(tmp_path) == {"0-pca-digits": "done", "1-pca-digits": "done"}
    outputs = [file.read_text() for file in tmp_path.glob(".submitit/*_log.out")]
    assert sum("1-pca-digits" in output for output in outputs) == 1


def test_slurm_is_asked_for_a_task_and_a_gpu_for_each_device_of_each_node_and_a_job_lost_there_is_said(
    train: Run, tmp_path, monkeypatch
):
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0.1)  # for a slow file system, 15 seconds
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script = tmp_path / "script"
    commands = {
        "sbatch": f'cp "$1" {script}; echo Submitted batch job 7',
        "srun": "exit 0",
        "sacct": 'echo "JobID|State|NodeList"; echo "7|FAILED|n1"',
    }
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    typed = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "trainer.devices=4", "trainer.num_nodes=2"]
    outcome = train("-m", *typed, *QUIET, "seed=1", "hydra.sweep.dir=sweep")
    finish_sweep(Path("sweep"), "failed")  # whose lock this process would keep
    asked = {line.split("--", 1)[1] for line in script.read_text().splitlines() if line.startswith("#SBATCH")}
    expected = {"nodes=2", "ntasks-per-node=4", "gpus-per-node=4", "partition=gpu", "time=1440"}
    assert expected <= asked
    assert "signal=USR2@120" in asked
    assert outcome.code != 0
    assert "error: job 0: Job 7" in outcome.err


def test_jobs_that_ask_slurm_for_different_things_are_refused(tmp_path):
    for command in ("srun", "sbatch"):
        (tmp_path / command).touch(0o755)
    code, said = multirun(tmp_path, "hydra/launcher=slurm", *QUIET, "trainer.devices=1,2", path=tmp_path)
    assert code != 0
    assert "hydra.launcher.tasks_per_node is 1 for one job and 2 for another" in said


def test_the_slurm_preset_asks_for_no_gpu_where_the_cpu_trains():
    node = launcher_node("hydra/launcher=slurm", "trainer=cpu", "trainer.devices=3")
    assert (node["tasks_per_node"], node["gpus_per_node"]) == (3, None)


def launcher_node(*typed: str) -> dict:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pmodel.runs.typed import CONFIG_DIR

    register_resolvers()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        composed = compose("train", ["name=x", *typed], return_hydra_config=True)
    return OmegaConf.to_container(composed.hydra.launcher, resolve=True)


@pytest.fixture(autouse=True)
def sbatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of settings for Slurm all is checked but whether this machine has it."""
    monkeypatch.setattr("pmodel.config.early_checks.which", lambda name: name)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("hydra/launcher=joblb", "did you mean joblib"),
        ("hydra/launcher=joblib hydra.launcher.njobs=2", "did you mean hydra.launcher.n_jobs"),
        (
            "hydra/launcher=joblib hydra.launcher.n_jobs=two",
            "hydra.launcher.n_jobs=two: expected a whole number, at least 1",
        ),
        ("hydra/launcher=slurm trainer.devices=auto", "trainer.devices=auto: expected a number"),
    ],
)
def test_a_mistake_about_a_launcher_is_named_before_anything_is_imported(typed, expected):
    register_resolvers()
    with pytest.raises(ConfigError, match=expected):
        check_overrides("train", [*typed.split(), "seed=1,2"], multirun=True)


@pytest.mark.parametrize(
    ("n_jobs", "devices", "gpus", "expected"),
    [
        (None, 1, 4, (4, 1)),
        (None, 2, 4, (2, 2)),
        (None, 3, 4, (1, 3)),
        (None, "auto", 4, (1, 4)),
        (None, [0, 1], 4, (2, 2)),
        (8, 1, 4, (8, 1)),
        (3, 1, 0, (3, 0)),
    ],
)
def test_as_many_jobs_run_side_by_side_as_have_gpus_of_their_own(n_jobs, devices, gpus, expected):
    names = [str(i) for i in range(gpus)]
    assert places(n_jobs, devices, names) == (expected[0], names, expected[1])


def test_without_gpus_two_jobs_or_half_of_the_cores(monkeypatch):
    for cores, expected in {1: 1, 2: 2, 3: 2, 16: 8}.items():
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert places(None, 1, [])[0] == expected


def test_more_devices_than_gpus_are_refused():
    with pytest.raises(ConfigError, match=r"trainer\.devices=3: there are 2 GPUs"):
        places(None, 3, ["0", "1"])


def test_workers_share_no_gpu_as_long_as_there_are_enough():
    gpus = ["2", "3", "5", "7"]
    assert [gpus_of(place, gpus, 2) for place in range(2)] == [["2", "3"], ["5", "7"]]
    assert [gpus_of(place, gpus, 1) for place in range(6)] == [[g] for g in ["2", "3", "5", "7", "2", "3"]]


PAGE = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")


COMMANDS = re.findall(r"^uv run .*?train\.py (.*?)(?:\s+#.*)?$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_each_command_of_the_page_on_many_runs_composes_as_printed(command):
    checked_command_line("train", shlex.split(command))


@pytest.mark.parametrize("typed", re.findall(r"^\| `'(.*?)'`", PAGE, re.MULTILINE))
def test_each_space_of_the_page_on_many_runs_can_be_searched(typed):
    checked_command_line("train", ["-m", "hydra/sweeper=optuna", typed])


CLAIM = """
import sys
import time
sys.path.insert(0, {source!r})
from pathlib import Path
from pmodel.commands.workers import prepare
prepare({folder!r}, 2, ["4", "6"], 1)
import os
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


def test_a_worker_keeps_its_gpu_until_it_dies_and_the_next_one_has_it(tmp_path):
    code = CLAIM.format(folder=str(tmp_path), source=str(ROOT / "src"))

    def worker() -> subprocess.Popen:
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)

    alive = [worker(), worker()]
    try:
        seen = [process.stdout.readline().strip() for process in alive]
        assert sorted(seen) == ["4", "6"]
        with pytest.raises(RuntimeError, match="all 2 places in"):
            claim(tmp_path, 2, timeout_s=0.3)
        alive[0].kill()
        alive.append(worker())
        assert alive[2].stdout.readline().strip() == seen[0]
    finally:
        for process in alive:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_a_signal_to_all_of_joblibs_processes_stops_each_job_with_a_checkpoint(tmp_path):
    settings = [
        "data=digits",
        "data.limit=64",
        "callbacks=minimal",
        "logger=csv",
        "trainer.max_epochs=100000",
        "model=vae",
    ]
    command = [sys.executable, str(ROOT / "train.py"), "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    with (tmp_path / "out.txt").open("w") as out:
        process = subprocess.Popen(
            [*command, *settings, "seed=1,2,3"], cwd=tmp_path, stdout=out, stderr=out, start_new_session=True
        )
    until = time.monotonic() + 600
    while len(list(tmp_path.glob("logs/multirun/*/*/checkpoints/last.ckpt"))) < 2:
        assert time.monotonic() < until, (tmp_path / "out.txt").read_text()
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(200) == 130
    said = (tmp_path / "out.txt").read_text()
    assert "go on with: uv run train.py resume=logs/multirun/" in said
    assert "Traceback" not in said
    found = [json.loads(file.read_text())["status"] for file in tmp_path.glob("logs/multirun/*/*/status.json")]
    assert found == ["stopped", "stopped"]
