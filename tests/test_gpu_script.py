"""benchmarks/gpu.sh: what it brings along, its steps, and what it leaves. A stand-in for Python does the work."""

import os
import re
import subprocess
import tarfile
import time
import tomllib
from pathlib import Path

import pytest
from support import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def test_the_vendored_libraries_are_the_projects_own_in_its_versions():
    """Each is a dependency of pyproject.toml, or of Hydra; the versions come from `uv export`, which reads it."""
    head = SCRIPT.read_text(encoding="utf-8").partition("\nset ")[0]
    (command,) = re.findall(r"uv export (?:.*\\\n)?.*$", head, re.MULTILINE)
    exported, _, installed = command.replace("\\\n#", "").partition("|")
    assert "--no-hashes" in exported
    assert "-c -" in installed
    assert "--no-deps" in installed
    assert "--target vendor" in installed
    (names,) = re.findall(r"-e \. (.*)$", installed)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [library for libraries in project["project"]["optional-dependencies"].values() for library in libraries]
    declared = [*project["project"]["dependencies"], *extras, *project["dependency-groups"]["dev"]]
    known = {re.match(r"[\w-]+", line)[0] for line in declared} | {"antlr4-python3-runtime"}
    assert set(names.split()) <= known
    assert {"hydra-core", "omegaconf"} <= set(names.split())


def test_the_script_for_a_gpu_is_right_bash_and_refuses_minutes_that_are_none():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    done = subprocess.run(["bash", str(SCRIPT), "soon"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: soon: expected whole minutes\n")


PYTHON = """#!/bin/bash
case "$*" in
  -c*) ;;
  *pytest*) {tests} ;;
  *"--only epoch"*) echo '[]' >docs/benchmarks/cpu/epoch.json; exit 3 ;;
  train.py*run0*) mkdir -p logs/on_gpu/run0/checkpoints; touch logs/on_gpu/run0/checkpoints/last.ckpt ;;
  train.py*) exit 1 ;;
esac
"""


def prepared(folder: Path, tests: str, **settings: str) -> dict[str, str]:
    """A project of stand-ins, and the environment in which its gpu.sh runs."""
    for name in ("benchmarks", "docs/benchmarks/cpu", "docs/results", "bin", "out"):
        (folder / name).mkdir(parents=True)
    (folder / "benchmarks" / "gpu.sh").write_bytes(SCRIPT.read_bytes())
    (folder / "docs" / "results" / "older.json").touch()
    python = folder / "bin" / "python"
    python.write_text(PYTHON.format(tests=tests))
    python.chmod(0o755)
    return os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "OUT": "out", "DEVICE": "cpu"} | settings


def rehearsed(folder: Path, minutes: int, tests: str, **settings: str) -> tuple[dict[str, str], set[str], str]:
    """What became of each step, the archive's files, and what was printed."""
    environment = prepared(folder, tests, **settings)
    command = ["bash", str(folder / "benchmarks" / "gpu.sh"), str(minutes), "model=a", "model=b,seed=2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    with tarfile.open(folder / "out" / "gpu.tar.gz") as archive:
        steps = archive.extractfile("logs/on_gpu/steps.txt").read().decode().splitlines()
        return {line.split()[0]: line.split()[1] for line in steps}, set(archive.getnames()), done.stdout


def test_a_step_that_fails_ends_no_other_and_what_was_measured_is_packed(tmp_path):
    steps, packed, said = rehearsed(tmp_path, 9, "true")
    assert steps["tests"] == "done"
    assert steps["epoch"] == "failed"
    assert [steps[name] for name in ("sampling", "breakdown", "run0", "eval0", "results0", "run1")] == [
        *["done"] * 5,
        "failed",
    ]
    assert "eval1" not in steps
    assert list(steps)[:4] == ["start", "tests", "epoch", "sampling"]
    assert {"docs/benchmarks/cpu/epoch.json", "logs/on_gpu/epoch.txt"} <= packed
    assert "docs/results/older.json" not in packed
    assert not any(name.endswith(".ckpt") for name in packed)
    assert "epoch        failed" in said


def test_steps_that_are_not_asked_for_are_skipped(tmp_path):
    steps, _, _ = rehearsed(tmp_path, 9, "true", STEPS="sampling")
    assert {name for name, became in steps.items() if became != "skipped"} == {"start", "sampling"}


@pytest.mark.slow
def test_a_step_that_hangs_and_ignores_signals_is_cut_within_the_minutes(tmp_path):
    start = time.monotonic()
    steps, packed, _ = rehearsed(tmp_path, 2, "trap '' TERM; echo begun; while true; do sleep 1; done")
    assert time.monotonic() - start < 120
    assert (steps["tests"], steps["epoch"]) == ("cut", "failed")
    assert "logs/on_gpu/tests.txt" in packed


@pytest.mark.slow
def test_what_was_measured_is_there_when_the_script_is_killed(tmp_path):
    environment = prepared(tmp_path, "echo '[]' >docs/benchmarks/cpu/sampling.json; sleep 30")
    process = subprocess.Popen(["bash", str(tmp_path / "benchmarks" / "gpu.sh"), "9"], env=environment)
    archive, until = tmp_path / "out" / "gpu.tar.gz", time.monotonic() + 60
    while "docs/benchmarks/cpu/sampling.json" not in packed_in(archive):
        assert time.monotonic() < until
        time.sleep(0.5)
    process.kill()
    process.wait()
    assert "docs/benchmarks/cpu/sampling.json" in packed_in(archive)


def packed_in(archive: Path) -> list[str]:
    if not archive.exists():
        return []
    with tarfile.open(archive) as opened:
        return opened.getnames()
