"""`pmodel runs`: runs below a folder as a table, whatever state they are in."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome, train_in

from pmodel.commands import runs
from pmodel.runs.claim import Claim
from pmodel.runs.listing import listed_runs

CONFIG = """name: {name}
model:
  optimizer:
    lr: 0.001
  shape: [1, 8]
  prior: null
  _target_: pmodel.models.vae.VAE
data:
  _target_: pmodel.data.digits.Digits
paths:
  run_dir: ???
"""


def make_run(
    folder: Path, started: str, name: str = "vae-digits", typed: tuple[str, ...] = (), **status: object
) -> Path:
    """A run directory with the files that the table reads."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG.format(name=name))
    (folder / "overrides.yaml").write_text("".join(f"- {line}\n" for line in typed) or "[]\n")
    content = {"schema": 2, "status": "done", "started": f"2026-03-01T{started}:00+00:00", **status}
    (folder / "status.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def list_runs(monkeypatch, capsys, tmp_path) -> Callable[..., Outcome]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "0")  # as wide as need be

    def listed(*words: str) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["pmodel", *words])
        code = 0
        try:
            runs.run()
        except SystemExit as end:
            code = end.code
        return Outcome(code, *capsys.readouterr())

    return listed


def named(outcome: Outcome) -> list[str]:
    """The last parts of the directories in a table, in its order."""
    assert (outcome.code, outcome.err) == (0, "")
    head, *rows = outcome.out.splitlines()
    assert head.split() == ["run", "model", "data", "status", "best", "when", "typed"]
    return [row.split()[0].rpartition("/")[2] for row in rows]


@pytest.fixture
def three(tmp_path) -> Path:
    logs = tmp_path / "logs"
    make_run(logs / "train/vae-digits/first", "10:00", typed=("seed=10", "model.optimizer.lr=1e-3"))
    make_run(
        logs / "multirun/m/0-pca-points", "12:00", "pca-points", ("model=pca", "seed=1"), value=2.0, monitor="val/x"
    )
    make_run(logs / "train/gan-digits/last", "14:00", "gan-digits", status="failed", reason="ValueError: Too few")
    return logs


def test_rows_come_newest_first_and_those_of_multiruns_are_among_them(three, list_runs):
    assert named(list_runs()) == ["last", "0-pca-points", "first"]
    (three / "train/gan-digits/last/eval/2026").mkdir(parents=True)
    (three / "train/gan-digits/last/eval/2026/status.json").write_text("{}")
    assert named(list_runs()) == ["last", "0-pca-points", "first"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["VAE"], ["first"]),
        (["digits"], ["last", "first"]),
        (["digits", "too few"], ["last"]),
        (["seed=1"], ["0-pca-points"]),
        (["data=points"], ["0-pca-points"]),
        (["status=failed"], ["last"]),
        (["lr=0.001"], ["last", "0-pca-points", "first"]),
        (["model.optimizer.lr=1e-3", "vae"], ["first"]),
        (["model.shape=[1,8]", "prior=null", "pca"], ["0-pca-points"]),
        (["r=0.001"], []),
        (["digits", "pca"], []),
    ],
)
def test_all_words_must_match_the_row_or_a_setting(words, found, three, list_runs):
    if found:
        assert named(list_runs(*words)) == found
    else:
        assert list_runs(*words) == (0, f"none of the 3 runs below logs/ matches: {' '.join(words)}\n", "")


def test_a_real_runs_row_has_the_best_value_of_its_monitor(tmp_path, list_runs):
    train_in(tmp_path, ["model=gaussian", "data=points", "data.num_train=64", "callbacks=checkpoints", "name=mine"])
    status = json.loads(next(tmp_path.glob("logs/train/mine/*/status.json")).read_text())
    assert status["monitor"] == "val/nll"
    (row,) = list_runs("gaussian").out.splitlines()[1:]
    assert row.split()[1:6] == ["gaussian", "points", "done", "val", "nll"]
    assert float(row.split()[6]) == pytest.approx(status["value"], rel=1e-3)
    assert row.endswith("data.num_train=64 callbacks=checkpoints name=mine")


def test_a_running_run_whose_process_has_gone_was_killed(tmp_path, list_runs):
    folder = make_run(tmp_path / "logs/train/a/r", "10:00", status="running")
    claim = Claim(folder)
    assert [run.status for run in listed_runs(tmp_path)] == ["running"]
    claim._file.close()  # as when its process is killed
    assert (folder / Claim.NAME).exists()
    assert [run.status for run in listed_runs(tmp_path)] == ["killed"]


BROKEN = {
    "no config": ("config.yaml", None, "there is no config.yaml"),
    "foreign config": ("config.yaml", "defaults: [a]\n", "'defaults' is no setting of a run"),
    "half a config": ("config.yaml", "name: vae\nmodel:\n  _target_: x\ndata: {", "config.yaml can't be read"),
    "aliases": ("config.yaml", "name: &a x\nseed: *a\n", "it holds aliases"),
    "no model": ("config.yaml", "name: vae\n", "config.yaml describes no model"),
    "empty config": ("config.yaml", "", "it is empty"),
    "empty status": ("status.json", "", "status.json can't be read"),
    "no status": ("status.json", None, "there is no status.json"),
    "status of another form": ("status.json", '{"schema": 99}', "a newer version wrote it"),
    "strange status": ("status.json", '{"status": ["x"]}', "its status is unknown"),
    "strange value": ("status.json", '{"status": "done", "value": "x"}', "value is no number"),
    "strange time": ("status.json", '{"status": "gone", "started": 3}', "its status is unknown: gone"),
    "half a result": ("results.json", '{"numbers": [', "results.json can't be read"),
    "strange results": ("results.json", '{"numbers": 3}', "results.json is none of pmodel's files"),
    "strange overrides": ("overrides.yaml", "a: 3\n", "overrides.yaml is none of pmodel's files"),
    "orders to a terminal": ("overrides.yaml", '- "seed=\\e[2J"\n', "seed=\N{REPLACEMENT CHARACTER}[2J"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_run_is_a_row_with_its_reason_and_stops_no_other(name, three, list_runs):
    file, content, reason = BROKEN[name]
    broken = three / "multirun/m/0-pca-points" / file
    broken.unlink(missing_ok=True)
    if content is not None:
        broken.write_text(content)
    assert sorted(named(list_runs())) == ["0-pca-points", "first", "last"]
    (row,) = (line for line in list_runs().out.splitlines() if "0-pca-points" in line)
    assert reason in row
    assert ("broken" in row) == (name != "orders to a terminal")
    assert row.isprintable()


def test_what_was_typed_is_shortened_to_the_terminal_and_matched_whole(three, list_runs, monkeypatch):
    make_run(three / "train/b/long", "16:00", typed=tuple(f"model.setting_{i}={i}" for i in range(40)))
    monkeypatch.setenv("COLUMNS", "140")
    table = list_runs("setting_39").out
    assert max(map(len, table.splitlines())) == 140
    assert table.rstrip().endswith("…")
    monkeypatch.setenv("COLUMNS", "0")
    assert "model.setting_39=39" in list_runs("setting_39").out


def test_without_runs_it_says_where_it_looked(list_runs, tmp_path):
    assert list_runs() == (0, "there are no runs below logs/\n", "")
    (tmp_path / "others").mkdir()
    assert list_runs("log_dir=others", "vae") == (0, "there are no runs below others/\n", "")


def test_wrong_words_are_refused_in_one_line(list_runs):
    for words, said in (
        (["--json"], "--json: pmodel runs has no such option"),
        (["log_dir=nowhere"], "log_dir=nowhere: there is no such folder"),
    ):
        outcome = list_runs(*words)
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
        assert outcome.err.startswith(f"error: {said}")
    assert list_runs("--help").out.startswith("pmodel runs [WORD …]")


def test_it_loads_nothing_heavy(three):
    code = (
        "import sys; from pmodel.__main__ import main; sys.argv = ['pmodel', 'runs']; main();"
        "heavy = {'torch', 'lightning', 'torchvision', 'numpy', 'sklearn', 'matplotlib', 'wandb'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=three.parent, check=True, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 4
