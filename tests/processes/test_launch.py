"""Which process this is, and what becomes of a training's others."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support import ROOT

from pmodel.processes.launch import PARENT, VARIABLES, Launch, Processes, is_first, launched, num_processes


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name in (*VARIABLES, "RANK", "GROUP_WORLD_SIZE"):
            monkeypatch.delenv(name)


def processes(folder: Path, code: str, count: int = 2, **settings: float) -> Processes:
    """Processes whose others run a few lines of Python."""
    said: list[str] = []
    command = [sys.executable, "-c", textwrap.dedent(code)]
    made = Processes(count, command, lambda rank: folder / f"status_{rank}.json", said.append, **settings)
    made.said = said
    return made


def test_who_started_a_process_is_read_from_its_environment(monkeypatch):
    assert launched() == Launch("user", 0, 1, 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launched() == Launch("pmodel", 1, 4, 1)
    assert not is_first()
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "GROUP_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == Launch("torchrun", 3, 4, 2)


def test_a_task_of_a_slurm_step_is_one_of_several_and_a_batch_script_is_not(monkeypatch):
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "x"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == Launch()  # the script itself, before srun
    for name, value in {"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_STEP_NUM_NODES": "2"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == Launch("slurm", 2, 4, 2)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert launched() == Launch()
    monkeypatch.setenv("SLURM_JOB_NAME", "x")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert launched() == Launch()


@pytest.mark.parametrize(
    ("devices", "count"),
    [
        *((1, 1), (4, 4), ("2", 2), ([0, 3, 5], 3), ("0,1", 2), ("0,", 1), (0, 1), ("many", 1)),
        *(("auto", 1), (-1, 1), ("-1", 1)),
    ],
)
def test_processes_are_counted_from_the_trainers_devices_and_all_of_a_cpu_are_one(devices, count):
    assert num_processes({"devices": devices, "strategy": "auto", "accelerator": "cpu"}) == count
    assert num_processes({"devices": devices, "strategy": "ddp_spawn", "accelerator": "cpu"}) == 1


def test_each_process_knows_its_place_and_the_environment_is_as_before_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "elsewhere")
    before = dict(os.environ)
    code = f"""
        import os
        names = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        open({str(tmp_path)!r} + "/" + os.environ["LOCAL_RANK"], "w").write(" ".join(os.environ[n] for n in names))
    """
    with processes(tmp_path, code, count=3) as started:
        port = os.environ["MASTER_PORT"]
        assert [os.environ[name] for name in VARIABLES[:4]] == ["0", "0", "3", "127.0.0.1"]
        for other in started.others:
            assert other.wait(100) == 0
    assert dict(os.environ) == before
    assert [(tmp_path / rank).read_text() for rank in "12"] == [f"{rank} 0 3 127.0.0.1 {port}" for rank in "12"]


def test_alone_nothing_is_started_and_nothing_set(tmp_path):
    before = dict(os.environ)
    with processes(tmp_path, "raise SystemExit(1)", count=1) as started:
        assert started.others == []
        assert started.death() is None
        assert dict(os.environ) == before


def test_a_process_that_dies_is_named_with_its_own_reason_if_it_left_one(tmp_path):
    code = """
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with processes(tmp_path, code) as started:
        line = started.death(100)
    assert line == "process 2 of 2 (rank 1) was killed by SIGKILL, as the system does when memory runs out"
    reason = f"""
        open({str(tmp_path)!r} + "/status_1.json", "w").write('{{"reason": "ValueError: loss is nan"}}')
        raise SystemExit(1)
    """
    with processes(tmp_path, reason) as started:
        assert started.death(100) == "process 2 of 2 (rank 1): ValueError: loss is nan"
    with processes(tmp_path, "raise SystemExit(3)") as started:
        # What an earlier run left is not this one's.
        assert started.death(100) == "process 2 of 2 (rank 1) ended with exit code 3"


def test_the_others_are_ended_with_a_failure_and_waited_for_otherwise(tmp_path):
    wait = "import time; time.sleep(60)"
    start = time.monotonic()
    with pytest.raises(RuntimeError), processes(tmp_path, wait) as started:
        raise RuntimeError
    assert started.others[0].returncode == -signal.SIGTERM
    assert time.monotonic() - start < 50
    with processes(tmp_path, "import time; time.sleep(0.5)") as started:
        pass
    assert started.others[0].returncode == 0


def test_a_process_that_waits_in_vain_is_ended_by_force(tmp_path):
    """As one does whose exchange with a dead one never returns."""
    code = f"""
        import sys, time
        from pathlib import Path
        from pmodel.processes.launch import Processes
        folder = Path({str(tmp_path)!r})
        died = [sys.executable, "-c", "raise SystemExit(9)"]
        note = lambda line: (folder / "said").write_text(line)
        with Processes(2, died, lambda rank: folder / str(rank), note, grace=0.5):
            time.sleep(200)
    """
    start = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, timeout=180, check=False)
    assert ended.returncode == 1
    assert (tmp_path / "said").read_text() == "process 2 of 2 (rank 1) ended with exit code 9"
    assert time.monotonic() - start < 150


def test_a_process_at_work_alone_is_told_of_a_death(tmp_path):
    """As one is that draws while the others wait for it: the job fails, and a multirun goes on."""
    start = time.monotonic()

    def work() -> None:
        with processes(tmp_path, "raise SystemExit(9)", grace=200):
            while time.monotonic() - start < 150:
                sum(range(1000))

    with pytest.raises(RuntimeError, match=r"process 2 of 2 .rank 1. ended with exit code 9"):
        work()
    assert time.monotonic() - start < 100


def test_a_process_that_was_stopped_is_no_death_unless_the_first_goes_on(tmp_path):
    with processes(tmp_path, "raise SystemExit(75)", grace=60) as started:
        assert started.others[0].wait(100) == 75
        assert started.death(1) is None
    with processes(tmp_path, "raise SystemExit(75)", grace=0.5) as started:
        assert started.death(100) == "process 2 of 2 (rank 1) ended with exit code 75"
        started.ends()


# Its patience is a tenth of what it is elsewhere.
ORPHAN = """
import time
from pmodel.processes.launch import end_with_parent
sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds / 10)
end_with_parent()
sleep(120)
"""


def test_an_orphan_ends_by_itself(tmp_path):
    parent = f"""
import os, subprocess, sys, time
os.environ[{PARENT!r}] = str(os.getpid())
print(subprocess.Popen([sys.executable, '-c', {ORPHAN!r}], stdout=subprocess.DEVNULL).pid, flush=True)
time.sleep(1)
"""
    out = subprocess.run([sys.executable, "-c", parent], cwd=ROOT, timeout=100,
                         stdout=subprocess.PIPE, text=True, check=True).stdout  # fmt: skip
    ends_soon(int(out))


def test_an_orphan_whose_parent_was_gone_before_it_looked_ends_too():
    gone = {**os.environ, PARENT: "1000000000"}
    with subprocess.Popen([sys.executable, "-c", ORPHAN], cwd=ROOT, env=gone) as orphan:
        assert orphan.wait(100) == 1


def ends_soon(pid: int) -> None:
    until = time.monotonic() + 100
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < until, "the orphan lives"
        time.sleep(0.2)
