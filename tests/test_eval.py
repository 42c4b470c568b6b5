"""eval.py from end to end: what it writes, what is the same twice, on two devices, and what it refuses."""

import base64
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run, train_in
from forked import Fork
from support import ROOT, free_port, run_directory

import pmodel
from pmodel.reporting.comparison import comparison_tables

SMALL = ["data.limit=96", "trainer.max_epochs=2", "callbacks=minimal", "logger=none"]
# Few of everything.
QUICK = [
    *("metric.likelihood.num_samples=10", "metric.samples.num_samples=60", "metric.memorization.num_samples=50"),
    "metric.modes.num_samples=500",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of a VAE, k-means and a PixelCNN, made once; tests that change one copy it."""
    folder = tmp_path_factory.mktemp("runs")
    small = {"vae": [], "kmeans": [], "pixelcnn": ["model.hidden_channels=4", "model.num_blocks=1"]}
    train_in(folder, *([f"model={model}", f"paths.log_dir={model}", *SMALL, *words] for model, words in small.items()))
    return {model: run_directory(folder / model) for model in small}


@pytest.fixture
def vae(trained: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(trained["vae"], tmp_path / "vae")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Few of everything, and one place for what can be kept."""
    return [*QUICK, f"cache_dir={tmp_path_factory.mktemp('features')}"]


def read(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*/results.json")
    return json.loads(file.read_text())


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    for run in results["runs"]:
        for number in run["numbers"]:
            if number["name"] == "time_per_sample":
                number["value"] = None
    return results


def test_an_evaluation_is_a_table_a_json_file_and_a_page_in_the_run(evaluate: Run, quick: list[str], vae: Path):
    outcome = evaluate(f"run={vae}", *quick)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    (folder,) = (vae / "eval").iterdir()
    written = {"results.json", "report.html", "table.md", "samples.png", "figures"}
    assert {file.name for file in folder.iterdir()} == written
    assert (folder / "figures" / "samples.png").is_file()
    assert "negative ELBO" in outcome.out
    assert f"report    vae/eval/{folder.name}/report.html" in outcome.out
    results = read(vae / "eval")
    keys = {"schema", "split", "hardware", "versions", "code", "settings", "overrides", "meanings", "captions"}
    keys |= {"runs", "failed"}
    assert set(results) == keys
    assert results["overrides"] == [f"run={vae}", *quick]  # what was typed
    assert results["failed"] == []
    (run,) = results["runs"]
    numbers = {number["name"]: number for number in run["numbers"]}
    assert numbers["negative_importance_weighted_bound"]["count"] == 96
    for name, number in numbers.items():
        if name not in ("parameters", "time_per_sample", "training_time"):
            assert number["split"] == ("drawn" if name == "inception_score" else "test"), name
            assert number["protocol"]["binarize"] == "none"
    frechet = numbers["frechet_distance"]["protocol"]
    assert (frechet["num_generated"], frechet["num_real"]) == (60, 96)
    assert {"feature_network", "feature_hash", "resizer", "noise_seed"} <= set(frechet)
    assert {reference["name"] for reference in run["references"]} >= {
        "frechet_distance",
        "kernel_distance",
        "precision",
        "coverage",
    }
    assert run["missing"] != []
    assert all(missing["reason"] for missing in run["missing"])
    assert run["figures"]["samples"] == "figures/samples.png"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert base64.b64encode((folder / run["figures"]["glance"]).read_bytes()).decode() in page
    assert "the model has no" in run["missing_figures"]["centres"]
    # A run that was judged has that as its results; and judged again, it has the same but for times.
    judged = pmodel.open_run(vae).results
    assert judged["split"] == "test"
    assert "frechet_distance" in {number["name"] for number in judged["numbers"]}
    shutil.rmtree(vae / "eval")
    assert evaluate(f"run={vae}", *quick).code == 0
    assert json.dumps(without_times(read(vae / "eval"))) == json.dumps(without_times(results))


def test_several_runs_stand_in_one_document_without_an_unexplained_hole(
    evaluate: Run, quick: list[str], trained: dict[str, Path], tmp_path: Path
):
    """Nor is there one where a density stands beside probabilities of levels."""
    train_in(tmp_path, ["model=vae", "model.likelihood=gaussian", "paths.log_dir=gaussian", *SMALL])
    runs = [run_directory(tmp_path / "gaussian"), *trained.values()]
    outcome = evaluate(f"run=[{','.join(map(str, runs))}]", *quick)
    assert outcome.code == 0, outcome.err
    assert "negative ELBO, of a density" in outcome.out.replace("\n  ", " ")
    results = read(tmp_path / "logs" / "eval")
    _, vae, *others = results["runs"]
    assert [run["label"] for run in others] == ["kmeans", "pixelcnn"]
    assert all(run["data"] == vae["data"] for run in results["runs"])
    names = [{n["name"] for n in run["numbers"]} for run in results["runs"]]
    reasons = [{m["name"] for m in run["missing"]} for run in results["runs"]]
    everything = set.union(*names[1:])
    for own, explained in zip(names[1:], reasons[1:], strict=True):
        assert own | explained >= everything
        assert not own & explained
    assert "negative_log_likelihood" in names[3]
    assert "negative_log_likelihood" in reasons[1]
    (table,) = comparison_tables(results)
    assert {"negative_elbo", "negative_elbo_of_density"} <= {column.name for column in table.columns}
    assert "not measured" not in table.footnotes


def on_two_devices(*typed: str) -> str:
    """What both processes say, of which each is what Lightning would have started."""
    command = [sys.executable, str(ROOT / "eval.py"), *typed, "trainer.devices=2"]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    both = [Fork(command, {**os.environ, **shared, "LOCAL_RANK": rank}) for rank in "01"]
    try:
        codes = [process.wait(600) for process in both]
    finally:
        for process in both:
            process.kill()
    said = "".join(process.said() for process in both)
    assert codes == [0, 0], said
    return said


def test_two_devices_give_the_numbers_of_one_each_example_counted_once(evaluate: Run, quick: list[str], vae: Path):
    """97 examples in batches of 10: neither divides by two."""
    config = vae / "config.yaml"
    config.write_text(config.read_text().replace("limit: 96", "limit: 97"))
    (vae / "results.json").unlink()  # which knows that the training had 96
    typed = [f"run={vae}", "batch_size=10", *quick, "trainer.accelerator=cpu"]
    assert evaluate(*typed).code == 0
    one = without_times(read(vae / "eval"))
    shutil.rmtree(vae / "eval")
    said = on_two_devices(*typed)
    two = without_times(read(vae / "eval"))
    assert said.count("evaluating vae-digits  ") == 1  # a bar that says so too comes where it takes seconds
    assert two["hardware"].startswith("2 ×")
    for a, b in zip(one["runs"][0]["numbers"], two["runs"][0]["numbers"], strict=True):
        assert a == b
        if a["name"] in ("negative_elbo", "reconstruction_error", "linear_probe_accuracy", "frechet_distance"):
            assert a["count"] == 97
    assert one["runs"] == two["runs"]


def test_the_directory_of_a_multirun_stands_for_its_jobs_but_those_that_failed(
    evaluate: Run, quick: list[str], trained: dict[str, Path], tmp_path: Path
):
    for i, model in enumerate(("kmeans", "vae", "vae")):
        shutil.copytree(trained[model], tmp_path / "sweep" / f"{i}-{model}-digits")
    failed = tmp_path / "sweep" / "2-vae-digits" / "status.json"
    failed.write_text(json.dumps({"schema": 2, "status": "failed", "reason": "ValueError: no luck"}))
    outcome = evaluate("run=sweep", *quick, "metric.samples=null", "metric.memorization=null")
    assert outcome.code == 0, outcome.err
    assert "left out: run=sweep/2-vae-digits: that run failed (ValueError: no luck)" in outcome.out
    results = read(tmp_path / "sweep" / "eval")
    assert [run["run"] for run in results["runs"]] == ["sweep/0-kmeans-digits", "sweep/1-vae-digits"]


def test_labels_tell_runs_of_one_name_apart_by_what_was_typed(
    evaluate: Run, quick: list[str], trained: dict[str, Path], tmp_path: Path
):
    for seed in (1, 2):
        run = shutil.copytree(trained["kmeans"], tmp_path / f"seed{seed}")
        (run / "overrides.yaml").write_text(f"- model=kmeans\n- seed={seed}\n")
    runs = [f"{tmp_path}/seed1", f"{tmp_path}/seed2", f"{tmp_path}/seed2/checkpoints/last.ckpt"]
    outcome = evaluate(f"run=[{','.join(runs)}]", "metric.probe=null", *quick)
    assert outcome.code == 0, outcome.err
    labels = [run["label"] for run in read(tmp_path / "logs" / "eval")["runs"]]
    assert labels == ["kmeans seed=1", "kmeans seed=2 (1)", "kmeans seed=2 (2)"]


class Code:
    """What a pickle runs when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("was-run",)


@pytest.mark.parametrize("kind", ["zip", "pickle"])
def test_a_checkpoint_that_carries_code_is_refused_and_nothing_of_it_runs(
    evaluate: Run, vae: Path, kind: str, tmp_path: Path
):
    file = vae / "checkpoints" / "best.ckpt"
    if kind == "zip":
        content = torch.load(file, weights_only=True)
        torch.save({**content, "extra": Code()}, file)
    else:
        file.write_bytes(pickle.dumps(Code(), protocol=2))
    outcome = evaluate(f"run={vae}")
    assert outcome.code == 2
    assert outcome.err.startswith("error: run=vae: ")
    assert outcome.err.count("\n") == 1
    assert "nothing of it was run" in outcome.err
    assert not (tmp_path / "was-run").exists()
    assert not list(vae.glob("eval/*/results.json"))


def lines(outcome: Any) -> list[str]:
    return outcome.err.splitlines()


def test_a_damaged_or_foreign_checkpoint_is_one_line(evaluate: Run, vae: Path):
    file = vae / "checkpoints" / "best.ckpt"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert evaluate(f"run={vae}").err.startswith(f"error: run=vae: {file} is no whole checkpoint of a model (")
    torch.save({"weights": torch.zeros(3)}, file)
    assert "is no checkpoint of a model of pmodel (it has no state_dict)" in evaluate(f"run={vae}").err
    torch.save(torch.load(vae / "checkpoints" / "last.ckpt", weights_only=True) | {"state_dict": {}}, file)
    (line,) = lines(evaluate(f"run={vae}"))
    assert line.startswith("error: run=vae: vae/checkpoints/best.ckpt does not fit pmodel.models.vae.VAE: ")
    content = torch.load(vae / "checkpoints" / "last.ckpt", weights_only=True)
    content["hyper_parameters"]["beta_max"] = 2.0
    torch.save(content, file)
    (line,) = lines(evaluate(f"run={vae}"))
    assert "does not fit pmodel.models.vae.VAE: " in line
    assert "beta_max" in line


def test_what_is_wrong_with_a_run_is_said_before_anything_heavy_is_imported(evaluate: Run, vae: Path, tmp_path: Path):
    def refusal(*typed: str) -> str:
        outcome = evaluate(*typed)
        assert outcome.code == 2
        (line,) = lines(outcome)
        return line.removeprefix("error: ")

    (tmp_path / "empty").mkdir()
    assert refusal("run=empty").endswith("a checkpoint in one, but there is no empty/config.yaml")
    status = vae / "status.json"
    status.write_text(json.dumps({"status": "failed", "reason": "ValueError: x"}))
    assert refusal(f"run={vae}").startswith(f"run={vae}: that run failed (ValueError: x)")
    status.unlink()
    shutil.rmtree(vae / "checkpoints")
    assert refusal(f"run={vae}").startswith(f"run={vae}: there is no checkpoint in it yet")
    assert not (vae / "eval").exists()


def test_a_failed_run_can_be_evaluated_by_a_checkpoint_that_is_named(evaluate: Run, quick: list[str], vae: Path):
    (vae / "status.json").write_text(json.dumps({"status": "failed", "reason": "ValueError: x"}))
    outcome = evaluate(f"run={vae}/checkpoints/last.ckpt", *quick)
    assert outcome.code == 0, outcome.err
    assert read(vae / "eval")["runs"][0]["checkpoint"] == "checkpoints/last.ckpt"


def test_an_unreachable_download_of_weights_names_the_setting_that_avoids_it(
    evaluate: Run, vae: Path, monkeypatch: pytest.MonkeyPatch
):
    from urllib.error import URLError

    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    outcome = evaluate(f"run={vae}", f"data_dir={vae.parent}", "metric/features=inception", *QUICK)
    assert outcome.code == 2
    (line,) = lines(outcome)
    assert line.startswith("error: metric/features=inception: ")
    assert "metric/features=classifier" in line
    assert "metric.features.weights=" in line
    assert not list(vae.glob("eval/*/results.json"))


def test_a_run_directory_can_name_no_code_either(evaluate: Run, vae: Path, tmp_path: Path):
    """A dotted name can lead through what a module imports, and hyperparameters into anything that is built."""
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "hubconf.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef m(**_): pass\n")
    file = vae / "checkpoints" / "best.ckpt"
    whole = file.read_bytes()
    content = torch.load(file, weights_only=True)
    load = {"_target_": "pmodel.runs.opening.torch.hub.load", "repo_or_dir": str(tmp_path / "hub"), "model": "m"}
    content["hyper_parameters"]["network"]["encoder"] = load | {"source": "local"}
    torch.save(content, file)
    (line,) = lines(evaluate(f"run={vae}", f"hydra.run.dir={tmp_path / 'out'}"))
    assert "_target_=pmodel.runs.opening.torch.hub.load" in line
    file.write_bytes(whole)
    config = vae / "config.yaml"
    text = config.read_text()
    for foreign in ("pmodel.runs.opening.torch.load", "pmodel.runs.opening.open_run", "pmodel.data.digits.Digits"):
        config.write_text(text.replace("pmodel.models.vae.VAE", foreign))
        (line,) = lines(evaluate(f"run={vae}"))
        assert f"_target_={foreign}" in line
    config.write_text(text.replace("pmodel.data.digits.Digits", "pmodel.runs.opening.RunDirectory"))
    (line,) = lines(evaluate(f"run={vae}"))
    assert "_target_=pmodel.runs.opening.RunDirectory" in line
    assert not (tmp_path / "ran").exists()
    assert not list(vae.glob("eval/*"))


def test_runs_that_differ_in_what_training_alone_draws_are_judged_by_the_same_examples(
    evaluate: Run, quick: list[str], trained: dict[str, Path], tmp_path: Path
):
    changes = {"plain": ("", ""), "flipped": ("flip: false", "flip: true"), "once": ("redraw: true", "redraw: false")}
    for name, change in changes.items():
        file = shutil.copytree(trained["vae"], tmp_path / name) / "config.yaml"
        if name != "plain":
            file.write_text(file.read_text().replace(*change))
    outcome = evaluate("run=[plain,flipped,once]", *quick, "callbacks.figures=null")
    assert outcome.code == 0, outcome.err
    a, b, c = (without_times(read(tmp_path / "logs" / "eval"))["runs"][i] for i in range(3))
    assert a["data"] == b["data"] == c["data"]
    assert a["numbers"] == b["numbers"] == c["numbers"]


def test_data_that_are_not_those_of_the_training_are_refused(evaluate: Run, vae: Path):
    config = vae / "config.yaml"
    config.write_text(config.read_text().replace("limit: 96", "limit: 90"))
    (line,) = lines(evaluate(f"run={vae}"))
    assert line == "error: run=vae: its data have changed since the training: there were 96 train examples, and are 90"


def test_a_run_that_cannot_be_evaluated_stops_no_other(
    evaluate: Run, quick: list[str], trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from pmodel.models.kmeans import KMeans

    def broken(*_: Any) -> None:
        raise ValueError("no luck")

    monkeypatch.setattr(KMeans, "assign", broken)
    outcome = evaluate(f"run=[{trained['kmeans']},{trained['vae']}]", *quick, "callbacks.figures=null")
    assert outcome.code == 1
    assert outcome.err == "error: 1 runs could not be evaluated, the first: no luck\n"
    results = read(tmp_path / "logs" / "eval")
    assert [run["label"] for run in results["runs"]] == ["vae"]
    assert [(run["label"], run["reason"]) for run in results["failed"]] == [("kmeans", "no luck")]


def test_small_damaged_files_and_settings_out_of_range_are_one_line(evaluate: Run, vae: Path, tmp_path: Path):
    def refusal(*typed: str) -> str:
        (line,) = lines(evaluate(f"run={vae}", *typed))
        return line.removeprefix("error: ")

    assert refusal("metric.features=null").startswith("metric.features=null: expected metric/features=")
    if not torch.cuda.is_available():
        assert refusal("trainer.accelerator=gpu").startswith(
            "trainer.accelerator=gpu, trainer.devices=1: no such devices"
        )
    (vae / "results.json").write_text('{"numbers": [')
    assert refusal() == f"run=vae: {vae}/results.json can't be read (JSONDecodeError)"
    (vae / "results.json").unlink()
    (vae / "config.yaml").write_text("model: {")
    assert refusal().startswith(f"run={vae}: {vae}/config.yaml can't be read: ")
    assert not list(vae.glob("eval/*"))


def test_a_truncated_last_checkpoint_costs_a_history_and_no_evaluation(evaluate: Run, quick: list[str], vae: Path):
    (vae / "checkpoints" / "last.ckpt").write_bytes(b"PK")
    assert evaluate(f"run={vae}", *quick).code == 0
    assert read(vae / "eval")["runs"][0]["numbers"]


def test_errors_on_several_devices_are_one_line_and_what_one_draws_all_draw(
    vae: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
):
    """The first is as a user types it: it starts the second process."""
    monkeypatch.chdir(vae.parent)
    typed = [f"run={vae}", *quick, "trainer.accelerator=cpu"]
    Path("empty.pth").touch()
    wrong = ["trainer.devices=2", "metric/features=inception", "metric.features.weights=empty.pth"]
    command = [sys.executable, str(ROOT / "eval.py"), *typed, *wrong]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: metric.features.weights=empty.pth: ")
    assert done.stderr.count("\n") == 1
    nothing_drawn = [f"metric.{name}=null" for name in ("samples", "memorization", "modes", "clouds", "cost")]
    on_two_devices(*typed, *nothing_drawn)


def test_open_run_gives_the_model_its_data_config_and_results(trained: dict[str, Path], vae: Path):
    state = torch.get_rng_state()
    run = pmodel.open_run(vae)
    assert torch.equal(state, torch.get_rng_state())
    assert run.model.sample(16).shape == (16, 1, 8, 8)
    assert not run.model.training
    assert run.data.examples("test", 5).x.shape == (5, 1, 8, 8)
    assert run.config["model"]["latent_dim"] == run.model.latent_dim
    assert "elbo" in {number["name"] for number in run.results["numbers"]}
    assert run.epochs in (1, 2)
    assert repr(run).startswith(f"Run({vae}, VAE, best.ckpt, ")
    assert str(run.data) == "Digits(shape=[1, 8, 8], num_levels=17, {'test': 96})"
    with pytest.raises(ValueError, match="split=tset: expected one of train, validation, test"):
        run.data.examples("tset", 3)
    weights = torch.load(vae / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(weights[name], value) for name, value in run.model.state_dict().items())
    assert pmodel.open_run(vae / "checkpoints" / "last.ckpt").epochs == 2
    with pytest.raises(ValueError, match="run=nowhere: there is no such run"):
        pmodel.open_run("nowhere")


def test_a_folder_of_images_that_was_moved_is_found_by_data_path(
    train: Run, evaluate: Run, quick: list[str], tmp_path: Path
):
    import numpy as np
    from PIL import Image

    for split, count in (("train", 30), ("test", 10)):
        (tmp_path / "images" / split).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / split / f"{i:02}.png")
    typed = [
        "model=pca",
        "data=image_folder",
        "data.path=images",
        "data.shape=[1,8,8]",
        "callbacks=minimal",
        "logger=none",
    ]
    outcome = train(*typed)
    assert outcome.code == 0, outcome.err
    run = run_directory(tmp_path / "logs")
    shutil.move(tmp_path / "images", tmp_path / "moved")
    assert lines(evaluate(f"run={run}", *quick))[0].startswith("error: data.path=images: ")
    outcome = evaluate(f"run={run}", *quick, "data.path=moved")
    assert outcome.code == 0, outcome.err


def test_the_command_that_a_training_prints_works_whatever_the_directory_is_called(
    train: Run, evaluate: Run, quick: list[str], tmp_path: Path
):
    import shlex

    outcome = train("model=pca", *SMALL, r"paths.log_dir='lo gs, (ü)=x\'s'")
    assert outcome.code == 0, outcome.err
    command = outcome.out.splitlines()[-1]
    assert command.startswith("evaluate  uv run eval.py ")
    outcome = evaluate(*shlex.split(command)[4:], *quick, "callbacks.figures=null")
    assert outcome.code == 0, outcome.err
