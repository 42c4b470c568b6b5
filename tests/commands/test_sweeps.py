"""What a multirun leaves, and an experiment that is one by itself."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from support import ROOT

from pmodel.commands.sweep_figures import Curves
from pmodel.commands.sweep_jobs import differing, read_jobs
from pmodel.commands.sweeps import SweepSummary, summary_table, write_csv
from pmodel.config.check import check_overrides
from pmodel.config.overrides import hydras_own, own_sweep, parse_overrides
from pmodel.config.resolvers import epochs_for
from pmodel.config.tree import ConfigError
from pmodel.runs.saved import find_runs
from pmodel.runs.typed import CONFIG_DIR

FEW = "experiment=few_labels_mnist"
COMPARE = "experiment=compare"


def write_job(folder: Path, number: int, typed: list[str], accuracy: float | None, status: str = "done") -> Path:
    """A job's directory as train.py leaves it, but for its checkpoints."""
    path = folder / f"{number}-classifier-mnist"
    path.mkdir(parents=True)
    (path / "overrides.yaml").write_text("".join(f"- {line}\n" for line in typed), encoding="utf-8")
    reason = {} if status == "done" else {"reason": "ValueError: data.limit=0: expected at least 1"}
    (path / "status.json").write_text(json.dumps({"status": status, **reason}), encoding="utf-8")
    if accuracy is not None:
        protocol = {"split_sizes": {"train": 5000, "validation": 100}}
        measured = {"name": "accuracy", "value": accuracy, "unit": "of 1", "split": "validation", "protocol": protocol}
        numbers = [measured, {"name": "parameters", "value": 10, "unit": ""}]
        (path / "results.json").write_text(json.dumps({"schema": 2, "numbers": numbers}), encoding="utf-8")
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Ten labels and all of them, two modes, two seeds; the last job failed."""
    combinations = [(n, mode, seed) for n in ("10", "null") for mode in ("scratch", "probe") for seed in (1, 2)]
    for i, (n, mode, seed) in enumerate(combinations):
        typed = ["data=mnist", f"data.num_labels={n}", f"model.mode={mode}", f"seed={seed}"]
        failed = i == len(combinations) - 1
        accuracy = None if failed else 0.5 + 0.1 * (n == "null") + 0.2 * (mode == "probe") + 0.02 * seed
        write_job(tmp_path, i, typed, accuracy, "failed" if failed else "done")
    return tmp_path


def test_jobs_are_read_in_the_order_in_which_they_ran(tmp_path):
    for number in (10, 2, 0):
        write_job(tmp_path, number, [f"seed={number}"], 0.5)
    assert [job.settings["seed"] for job in read_jobs(tmp_path)] == ["0", "2", "10"]


def test_csv_has_a_row_per_job_with_what_differs_and_all_numbers(sweep):
    jobs = read_jobs(sweep)
    assert differing([job.settings for job in jobs]) == ["data.num_labels", "model.mode", "seed"]
    write_csv(sweep / "summary.csv", jobs)
    rows = read_csv(sweep / "summary.csv")
    assert len(rows) == 8
    assert rows[0] == {
        "job": "0-classifier-mnist",
        "data.num_labels": "10",
        "model.mode": "scratch",
        "seed": "1",
        "status": "done",
        "reason": "",
        "accuracy": "0.52",
        "parameters": "10",
    }
    assert rows[7]["status"] == "failed"
    assert rows[7]["reason"] == "ValueError: data.limit=0: expected at least 1"
    assert rows[7]["accuracy"] == ""


def test_table_has_means_and_deviations_over_seeds_and_counts_failures(sweep):
    lines = [line.split() for line in summary_table(read_jobs(sweep), 132).splitlines()]
    assert lines == [
        ["data.num_labels", "model.mode", "jobs", "accuracy"],
        ["10", "scratch", "2", "0.530", "(sd", "0.014)"],
        ["10", "probe", "2", "0.730", "(sd", "0.014)"],
        ["null", "scratch", "2", "0.630", "(sd", "0.014)"],
        ["null", "probe", "1", "done,", "1", "failed", "0.8200"],
        ["sd:", "the", "standard", "deviation", "over", "jobs"],
    ]


def test_a_table_wider_than_the_terminal_is_turned_if_that_helps(tmp_path):
    for number, model in enumerate(("kmeans", "vae")):
        path = write_job(tmp_path, number, [f"model={model}"], None)
        numbers = [{"name": f"number {i} of {model}", "value": i, "split": "validation"} for i in range(3)]
        (path / "results.json").write_text(json.dumps({"numbers": numbers}), encoding="utf-8")
    jobs = read_jobs(tmp_path)
    wide = summary_table(jobs, 200).splitlines()
    assert [line.split()[:3] for line in wide] == [["job", "model", "jobs"], ["0", "kmeans", "1"], ["1", "vae", "1"]]
    width = max(map(len, wide))
    assert summary_table(jobs, width).splitlines() == wide
    turned = [line.split() for line in summary_table(jobs, width - 1).splitlines()]
    assert turned[:3] == [["job", "0", "1"], ["model", "kmeans", "vae"], ["jobs", "1", "1"]]
    assert turned[3:] == [["number", str(i), "of", model, str(i)] for model in ("kmeans", "vae") for i in range(3)]
    # Many jobs and few numbers: no narrower when turned.
    many = tmp_path / "many"
    for seed in range(9):
        write_job(many, seed, [f"model.latent_dim={seed}"], 0.5)
    assert len(summary_table(read_jobs(many), 10).splitlines()) == 10


def test_figure_puts_all_labels_where_the_size_of_the_split_is(sweep):
    curves = Curves("data.num_labels", "accuracy", "model.mode", log_x=True, null_x="split_sizes.train")
    values, names = curves.points(read_jobs(sweep))
    assert values == {
        "scratch": {10.0: [0.52, 0.54], 5000.0: [pytest.approx(0.62), pytest.approx(0.64)]},
        "probe": {10.0: [pytest.approx(0.72), pytest.approx(0.74)], 5000.0: [pytest.approx(0.82)]},
    }
    assert names == {5000.0: "all (5,000)"}
    path = sweep / "figure.png"
    assert curves.save(path, read_jobs(sweep)) is None
    image = np.asarray(Image.open(path))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_figure_of_what_nobody_measured_gives_the_reason(sweep):
    for x, y in (("data.num_labels", "fid"), ("model.depth", "accuracy")):
        reason = Curves(x, y, "model.mode").save(sweep / "none.png", read_jobs(sweep))
        assert reason == f"no job has a number '{y}' and a number for {x}"
    assert not (sweep / "none.png").exists()


def test_an_end_without_a_number_is_left_out_of_the_means(tmp_path):
    for seed, accuracy in ((1, 0.5), (2, math.nan)):
        write_job(tmp_path, seed, [f"seed={seed}"], accuracy)
    path = tmp_path / "2-classifier-mnist" / "results.json"
    path.write_text(path.read_text(encoding="utf-8").replace("NaN", "null"), encoding="utf-8")
    assert summary_table(read_jobs(tmp_path), 132).splitlines()[1].split() == ["2", "0.5000"]


def test_multirun_with_a_failed_job_ends_with_a_summary_and_exit_code_1(train, tmp_path):
    kinds = "model.likelihood=bernoulli,categorical"  # the first is not of data with 17 levels
    outcome = train("-m", kinds, "data.limit=64", "trainer.max_epochs=1", "callbacks=minimal")
    assert outcome.code == 1
    assert "1 failed" in outcome.out
    assert "training time, s" in outcome.out
    assert "error: 1 of 2 jobs failed" in outcome.err
    assert "Traceback" not in outcome.err
    (summary,) = tmp_path.glob("logs/multirun/*/summary.csv")
    rows = read_csv(summary)
    found = [(row["model.likelihood"], row["status"]) for row in rows]
    assert found == [("bernoulli", "failed"), ("categorical", "done")]
    assert float(rows[1]["loss"]) > 0


def with_checkpoint(job: Path) -> Path:
    (job / "config.yaml").write_text("name: test\n", encoding="utf-8")
    (job / "checkpoints").mkdir()
    (job / "checkpoints" / "best.ckpt").write_bytes(b"")
    return job


def test_the_summary_ends_with_the_command_that_evaluates_all_jobs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = Path("logs/multirun/2026-01-31_12-00-00")
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})
    summary = SweepSummary({})

    failed = with_checkpoint(write_job(folder, 0, ["seed=1"], None, "failed"))
    write_job(folder, 1, ["seed=2"], 0.5)
    with pytest.raises(SystemExit, match="1"):
        summary.on_multirun_end(config)
    out, err = capsys.readouterr()
    assert "error: 1 of 2 jobs failed" in err
    assert "summary " in out
    assert "eval.py" not in out  # one failed, the other has no checkpoint

    saved = [with_checkpoint(write_job(folder, number, [f"seed={number}"], 0.6)) for number in (2, 10)]
    with pytest.raises(SystemExit):
        summary.on_multirun_end(config)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"evaluate  uv run eval.py run={folder}"
    found, left_out = find_runs([last.partition("run=")[2]])
    assert [run.folder for run in found] == saved
    assert any(str(failed) in reason for reason in left_out)


def test_compare_gives_each_family_its_own_length(train):
    lengths, measured = {}, {}
    for model in ("kmeans", "vae", "pixelcnn", "dcgan"):
        outcome = train(COMPARE, f"model={model}", "--cfg", "job", "--resolve")
        assert outcome.code == 0, outcome.err
        composed = OmegaConf.create(outcome.out)
        lengths[model] = composed.trainer.max_epochs, composed.trainer.max_steps
        measured[model] = composed.callbacks.frechet.every_n_epochs
    assert lengths == {"kmeans": (300, -1), "vae": (30, -1), "pixelcnn": (-1, 2500), "dcgan": (-1, 2500)}
    assert measured == {"kmeans": None, "vae": None, "pixelcnn": None, "dcgan": 5}


@pytest.mark.slow
def test_compare_leaves_runs_that_can_be_evaluated_side_by_side(train, tmp_path):
    assert train(COMPARE, "model=kde,vae,gan", "data.limit=100", "trainer.max_epochs=1").code == 0
    (folder,) = tmp_path.glob("logs/multirun/*")
    rows = read_csv(folder / "summary.csv")
    assert [(row["model"], row["status"]) for row in rows] == [("kde", "done"), ("vae", "done"), ("gan", "done")]
    found, left_out = find_runs([str(folder)])
    assert [run.folder.name for run in found] == ["0-kde-mnist_5k", "1-vae-mnist_5k", "2-gan-mnist_5k"]
    assert left_out == []


def test_compare_sweeps_a_model_of_each_family_and_no_unknown_one():
    typed = parse_overrides([COMPARE])
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        (values,) = own_sweep(hydras_own("train", typed), typed)
    models = list(values.sweep_string_iterator())
    assert {"kmeans", "pca", "pca_gmm", "autoencoder", "vae", "pixelcnn", "pixelrnn", "gan", "dcgan"} <= set(models)
    text = (ROOT / "conf/experiment/compare.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"(\w+):\d+", text)) <= set(models)  # whose epochs are named
    check_overrides("train", [COMPARE])


@pytest.mark.slow
def test_few_labels_is_a_sweep_by_itself_and_draws_its_curve(train, data_dir, tmp_path):
    small = ["data.limit=500", "trainer.max_epochs=2", f"data_dir={data_dir}"]
    assert train("experiment=features_mnist", *small, "callbacks=minimal", "hydra.run.dir=features").code == 0
    outcome = train(FEW, "model.encoder.run=features", "data.num_labels=20,null", "seed=1", *small)
    assert outcome.code == 0, outcome.err
    (summary,) = tmp_path.glob("logs/multirun/*/summary.csv")
    rows = read_csv(summary)
    expected = [(n, mode) for n in ("20", "null") for mode in ("scratch", "probe", "fine_tune")]
    assert [(row["data.num_labels"], row["model.mode"]) for row in rows] == expected
    assert {row["status"] for row in rows} == {"done"}
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert (summary.parent / "accuracy_over_labels.png").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            [],
            "model.encoder.run must be set: type model.encoder.run=… (conf/model/encoder/run.yaml leaves it open)",
        ),
        (["model.encoder.run=x", "model.mode=probed"], "did you mean probe?"),
        (["model.encoder.run=x", "data.num_labels=many,10"], "data.num_labels=many"),
    ],
)
def test_an_experiments_own_sweep_is_checked_before_anything_runs(typed, message):
    with pytest.raises(ConfigError) as error:
        check_overrides("train", [FEW, *typed])
    assert message in str(error.value)


def test_what_is_typed_takes_the_place_of_an_experiments_sweep():
    check_overrides("train", [FEW, "model.encoder.run=x", "seed=1", "data.num_labels=100,200"])
    with pytest.raises(ConfigError, match="need --multirun"):
        check_overrides("train", ["experiment=vae_mnist", "seed=1,2"])


def test_epochs_make_the_asked_steps_and_never_too_few():
    assert epochs_for(600, 100, 128, 5) == 600
    assert epochs_for(600, 1000, 128, 5) == 75
    assert epochs_for(600, 50_000, 128, 5) == 5
    assert epochs_for(600, None, 128, 5) == 5


def test_the_summary_is_imported_without_anything_heavy():
    import subprocess
    import sys

    code = (
        "import sys; import pmodel.commands.sweeps;"
        "heavy = {'torch', 'lightning', 'numpy', 'matplotlib', 'PIL'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_figures_are_named_by_their_arguments():
    with pytest.raises(TypeError, match="colour"):
        SweepSummary({"accuracy": {"x": "a", "y": "b", "curve": "c", "colour": "red"}})
    assert SweepSummary({"accuracy": None}).figures == {}
