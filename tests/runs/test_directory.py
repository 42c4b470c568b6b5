"""Who may write into a run directory, and with what a run in it goes on."""

import os
import subprocess
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from support import ROOT

from pmodel.runs.claim import Claim, InUse, reserve
from pmodel.runs.directory import RunDirectory, Start


def config(folder: Path, lr: float = 0.1):
    plain = {"model": {"lr": lr}, "trainer": {"max_epochs": 3}, "paths": {"run_dir": str(folder)}, "resume": None}
    return OmegaConf.create(plain | {"figures": f"{folder}/figures"})


def start(folder: Path, resume: str | None = None, again: bool = False, lr: float = 0.1) -> Start:
    run = RunDirectory(folder)
    with run.begun(config(folder, lr), ["seed=1"], resume, again) as found:
        if found.ended is None:
            run.set_status("running")
        return found


def test_runs_that_begin_at_once_get_a_directory_each(tmp_path):
    with ThreadPool(16) as pool:
        made = pool.map(lambda _: reserve(tmp_path / "logs" / "2026-01-31_12-00-00"), range(40))
    assert len(set(made)) == 40
    assert {path.name for path in made} >= {"2026-01-31_12-00-00", "2026-01-31_12-00-00_2", "2026-01-31_12-00-00_40"}


def test_a_directory_in_use_is_refused_until_its_process_ends_even_by_force(tmp_path, capsys):
    code = (
        "import sys, time; from pathlib import Path; from pmodel.runs.claim import Claim;"
        "claim = Claim(Path(sys.argv[1])); print('taken', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "taken\n"
        with pytest.raises(SystemExit):
            start(tmp_path / "run")
        assert f"is in use by process {other.pid} on " in capsys.readouterr().err
        assert not (tmp_path / "run" / "config.yaml").exists()
        other.kill()
    assert start(tmp_path / "run") == Start()


def test_a_claim_is_given_back_and_leaves_nothing(tmp_path):
    claim = Claim(tmp_path)
    with pytest.raises(InUse, match=f"process {os.getpid()}"):
        Claim(tmp_path)
    claim.release()
    assert list(tmp_path.iterdir()) == []
    Claim(tmp_path).release()


def test_a_directory_with_a_run_in_it_is_not_written_over(tmp_path, capsys):
    assert start(tmp_path / "run") == Start()
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    with pytest.raises(SystemExit, match="2"):
        start(tmp_path / "run", lr=0.2)
    assert "there is a run in it (running); uv run train.py resume=" in capsys.readouterr().err
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}


def test_a_job_that_ended_is_left_alone_and_one_that_was_cut_begins_again(tmp_path, capsys):
    run = RunDirectory(tmp_path / "run")
    for status in ("running", "stopped", "failed"):
        start(tmp_path / "run", again=True)
        run.set_status(status)
        assert start(tmp_path / "run", again=True) == Start(None)
    run.set_status("done", value=1.5)
    ended = start(tmp_path / "run", again=True).ended
    assert (ended["status"], ended["value"]) == ("done", 1.5)
    with pytest.raises(SystemExit, match="2"):
        start(tmp_path / "run", again=True, lr=0.2)
    assert "its settings have changed since it began" in capsys.readouterr().err


def test_what_was_typed_is_noted_once(tmp_path):
    start(tmp_path / "run")
    start(tmp_path / "run", again=True)
    assert (tmp_path / "run" / "overrides.yaml").read_text() == "- seed=1\n"
    written = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert OmegaConf.is_missing(written.paths, "run_dir")
    assert OmegaConf.to_container(written)["figures"] == "${paths.run_dir}/figures"


def test_another_process_than_the_first_writes_nothing_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.write_bytes(b"")
    run = RunDirectory(tmp_path)
    with run.begun(config(tmp_path), [], str(last), again=False) as found:
        run.set_status("running")
    assert found == Start(last)
    assert {file.name for file in tmp_path.iterdir()} == {"status_1.json", "checkpoints"}


def test_all_processes_find_the_same_to_go_on_with(tmp_path, monkeypatch):
    def found(rank: int, resume: str | None = None, again: bool = True) -> Start:
        with monkeypatch.context() as patch:
            patch.setenv("LOCAL_RANK", str(rank))
            with RunDirectory(tmp_path).begun(config(tmp_path), [], resume, again) as start:
                return start

    first = RunDirectory(tmp_path)
    assert found(1) == Start()
    first.set_status("stopped")
    (tmp_path / "checkpoints").mkdir()
    first.last_checkpoint.write_bytes(b"")
    assert found(1) == Start(first.last_checkpoint)
    assert found(1, resume=str(tmp_path), again=False) == Start(first.last_checkpoint)
    assert found(1, again=False) == Start()
    first.set_status("done", value=2.0)
    assert found(1).ended == found(0).ended
    assert found(1).ended["value"] == 2.0
