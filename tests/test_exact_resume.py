"""Runs killed at random moments and resumed end bit-identical to runs that were never killed.

A handful of the trials of benchmarks/kill_and_resume.py, which makes a hundred.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import Run
from forked import start_forked
from support import ROOT, loaded

from pmodel.callbacks.timing import Timing
from pmodel.processes.launch import Processes

if torch.cuda.is_available():
    pytest.skip("the trials are forks, which can't share a GPU", allow_module_level=True)


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """The script, as a module; those beside it are found while it is in use."""
    folder = ROOT / "benchmarks"
    sys.path.insert(0, str(folder))
    yield loaded(folder / "kill_and_resume.py")
    sys.path.remove(str(folder))


# Three epochs of four steps, and the curves, which take longest, of one of the two.
SHORTER = """
import kill_and_resume
kill_and_resume.DATA += ["data.limit=100", "trainer.max_epochs=3"]
kill_and_resume.KINDS["gan"] += ["callbacks.figures.include.loss_curves=null"]
kill_and_resume.main()
"""
# Five kills: inside a write of either model and of two processes, and twice at a moment of a run of two.
SEED = "1766"


def in_own_process(code: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs code that forks, beside the benchmark: a fork of this process could wait for what an earlier test's thread
    held."""
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n{code}"
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_a_run_that_is_killed_and_resumed_ends_bit_identical(tmp_path):
    """Two trials of each number of processes."""
    words = ["--trials", "4", "--real", "0", "--kinds", "vae", "gan", "--seed", SEED, "--json", "trials.json"]
    done = in_own_process(SHORTER, tmp_path, *words, "--folder", str(tmp_path / "trials"))
    assert done.returncode == 0, done.stdout + done.stderr
    trials = json.loads((tmp_path / "trials.json").read_text())
    assert [(trial["kind"], trial["processes"]) for trial in trials] == [("vae", 1), ("gan", 1), ("vae", 2), ("gan", 2)]
    assert all(trial["kills"] and trial["differences"] == [] for trial in trials)


# A kill of the first process inside its writing of a shard, and one of all at a later moment.
ON_DISK = (
    SHORTER.replace("kill_and_resume.main()", "")
    + """
import os
import sys
import time
from pathlib import Path

from pmodel.data import shards as of_shards

write, is_second_held = of_shards._write, False


def write_in_turn(*arguments):
    # Else the second process may have written all shards before the first one comes.
    while is_second_held and os.environ.get("LOCAL_RANK") == "1":
        time.sleep(0.01)
    write(*arguments)


of_shards._write = write_in_turn
kill_and_resume.import_everything()
folder = Path(sys.argv[1])
kill_and_resume.hold_on_disk(folder)
runs = kill_and_resume.Runs(folder, seed=1)
for processes in (1, 2):
    expected, seconds = runs.reference("vae", processes)
    directory = folder / f"cut_{processes}"
    shards = folder / f"cut_{processes}.data" / "shards"
    is_second_held = True
    runs._start("vae", processes, directory, in_write=7).kill_after(600)
    is_second_held = False
    half_written = bool(list(shards.glob("*/*.npy.*.tmp")))
    runs._start("vae", processes, directory).kill_after(0.7 * seconds)
    if not kill_and_resume.is_done(directory):
        runs._start("vae", processes, directory).finish()
    print(processes, half_written, kill_and_resume.compare(expected, directory), sep="; ")
"""
)


def test_a_run_on_shards_that_is_killed_while_it_writes_one_ends_bit_identical(tmp_path):
    done = in_own_process(ON_DISK, tmp_path, str(tmp_path / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if "; " in line][-2:] == ["1; True; []", "2; True; []"]


def test_two_processes_that_a_user_resumes_end_bit_by_bit_as_if_never_cut(benchmark, train: Run, tmp_path, monkeypatch):
    """Begun as a user begins it, with nothing preset: the first process reads its checkpoint, by PyTorch, early on.

    With convolutions, whose last digits depend on the number of threads.
    """
    for name in benchmark.THREADS:
        monkeypatch.delenv(name, raising=False)
    settings = ["model=pixelcnn_gated", "model.hidden_channels=8", "model.num_layers=2", "trainer=ddp_cpu"]
    settings += ["data.limit=128", "data.batch_size=64", "trainer.max_epochs=4", "trainer.log_every_n_steps=1"]
    settings += ["callbacks=minimal", "logger=csv"]
    with monkeypatch.context() as patch:
        patch.setattr(Processes, "_start", start_forked)
        assert train(*settings, "hydra.run.dir=whole").code == 0
        original = Timing.on_train_batch_end

        def cut(self, trainer, *args):
            original(self, trainer, *args)
            if trainer.global_step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(Timing, "on_train_batch_end", cut)
        assert train(*settings, "hydra.run.dir=cut").code == 75
    command = [sys.executable, str(ROOT / "train.py"), "resume=cut"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert benchmark.compare(tmp_path / "whole", tmp_path / "cut") == []


def test_the_comparison_finds_one_bit(benchmark):
    unequal = sys.modules["same_run"].unequal
    a = {"weights": {"w": torch.zeros(3)}, "path": "/runs/a/best.ckpt", "seconds": 1.0, "n": [1, float("nan")]}
    b = {"weights": {"w": torch.zeros(3)}, "path": "/runs/b/best.ckpt", "seconds": 2.0, "n": [1, float("nan")]}
    assert unequal(a, b, "last", "/runs/a", "/runs/b") == []
    b["weights"]["w"][1] = 1e-45
    b["n"][0] = 2
    assert unequal(a, b, "last", "/runs/a", "/runs/b") == ["last.weights.w", "last.n[0]: 1, 2"]


# The folder is the first argument.
DIFFERING = """
import sys
from pathlib import Path
import kill_and_resume
from pmodel.callbacks import resume

kill_and_resume.import_everything()
folder = Path(sys.argv[1])
runs = kill_and_resume.Runs(folder, seed=1, settings=["trainer.max_epochs=3", "data.limit=100"])
expected, _ = runs.reference("vae", 1)
resume.restore_random_states = lambda states: None
directory = folder / "cut"
# In a write, since at a moment a busy machine may see it only when the run has ended.
assert runs._start("vae", 1, directory, in_write=14).kill_after(600) == "in a write"
assert (directory / "checkpoints" / "last.ckpt").is_file()
runs._start("vae", 1, directory).finish()
differences = kill_and_resume.compare(expected, directory)
assert any("last.ckpt.state_dict" in line for line in differences), differences
"""


def test_a_run_that_differs_is_found_and_kept(tmp_path):
    """Without the generators' states in the checkpoint, a resumed run draws other noise."""
    done = in_own_process(DIFFERING, tmp_path, str(tmp_path))
    assert done.returncode == 0, done.stderr
