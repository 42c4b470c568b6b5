"""The command `pmodel`: its commands, and their completion in bash."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support import CONFIG_DIR, ROOT

import pmodel
from pmodel.__main__ import COMMANDS

PMODEL = [sys.executable, "-m", "pmodel"]


def said(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*PMODEL, *words], capture_output=True, text=True, check=False)


def test_without_a_command_it_lists_them_and_a_wrong_one_is_refused():
    assert said().stdout == said("--help").stdout
    assert "train  trains a model" in said().stdout
    wrong = said("trian", "model=vae")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == f"error: trian: expected a command, one of {', '.join(COMMANDS)}\n"
    assert said("--version").stdout.strip() == pmodel.__version__ == version("pmodel")


def test_a_command_is_the_script_of_that_name(tmp_path):
    command = ["train", "model=pca", "data=digits", "data.limit=64", "callbacks=minimal", "logger=none"]
    done = subprocess.run([*PMODEL, *command, "hydra.run.dir=run"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / "results.json").is_file()
    for name in ("train", "eval"):
        assert f"from pmodel.commands.{name} import run" in (ROOT / f"{name}.py").read_text()
    wrong = [
        said("eval", "run=nowhere"),
        subprocess.run([sys.executable, "eval.py", "run=nowhere"], cwd=ROOT, capture_output=True, text=True),
    ]
    assert wrong[0].stderr == wrong[1].stderr != ""
    assert wrong[0].returncode == wrong[1].returncode == 2


@pytest.mark.parametrize(
    ("program", "line", "expected"),
    [
        ("pmodel", "pmodel tr", {"train"}),
        ("pmodel", "pmodel new my", set()),
        (
            "pmodel",
            "pmodel train model=pixelrnn",
            {"model=pixelrnn", "model=pixelrnn_multiscale", "model=pixelrnn_row"},
        ),
        ("pmodel", "pmodel train model=kmeans model.num_clus", {"model.num_clusters="}),
        ("pmodel", "pmodel eval metric/features=c", {"metric/features=classifier"}),
        ("pmodel", "pmodel sample trainer.acc", {"trainer.accelerator="}),
        ("python", "python train.py data=mnist", {"data=mnist", "data=mnist_5k"}),
    ],
)
def test_bash_completes_commands_and_settings(program, line, expected, tmp_path):
    bin = tmp_path / "bin"
    bin.mkdir()
    for name, words in (("pmodel", PMODEL), ("python", [sys.executable])):
        (bin / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (bin / name).chmod(0o755)
    install = "pmodel -sc install=bash" if program == "pmodel" else "python train.py -sc install=bash"
    words = line.split()
    script = f"""
    PATH={bin}:$PATH; cd {ROOT}
    eval "$({install})"
    COMP_LINE='{line}'; COMP_POINT={len(line)}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
    hydra_bash_completion
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


def test_a_clone_reads_its_own_conf_and_lists_it_once(tmp_path):
    """Never the copy that an editable install leaves beside installed packages."""
    assert CONFIG_DIR == ROOT / "conf" == Path(pmodel.__file__).parents[2] / "conf"
