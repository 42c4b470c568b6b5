"""train.py from end to end, on small settings: what a run directory holds, resuming, stopping, failing."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forked import start_forked
from support import ROOT, run_directory

from pmodel.processes.launch import Processes
from pmodel.processes.stopping import interruptible, workers_stop_first

SMALL = ["data.limit=64", "trainer.max_epochs=2", "callbacks.final.num_samples=5"]


def status(run: Path) -> dict:
    return json.loads((run / "status.json").read_text())


def numbers(run: Path) -> dict[str, dict]:
    return {number["name"]: number for number in json.loads((run / "results.json").read_text())["numbers"]}


def test_a_run_directory_holds_everything_and_the_terminal_shows_where(train, tmp_path):
    outcome = train(*SMALL, "callbacks.snapshots.every_n_epochs=1")
    assert outcome.code == 0, outcome.err
    run = run_directory(tmp_path / "logs")
    assert run.parent == tmp_path / "logs" / "train" / "vae-digits"
    files = {str(f.relative_to(run)) for f in run.rglob("*") if f.is_file()}
    assert files == {
        *("config.yaml", "overrides.yaml", "train.log", "status.json", "metrics.csv", "results.json"),
        *(f"checkpoints/{name}.ckpt" for name in ("last", "best", "epoch_000", "epoch_001")),
        *(
            f"figures/{name}.png"
            for name in (
                *("data", "samples", "samples_over_time", "reconstructions", "interpolations", "traversals"),
                *("arithmetic", "latent_scatter", "loss_curves"),
            )
        ),
    }
    assert status(run)["status"] == "done"
    assert "data.limit=64" in (run / "overrides.yaml").read_text()
    assert str(tmp_path) not in (run / "config.yaml").read_text()
    # How each number was made.
    results = json.loads((run / "results.json").read_text())
    assert {"schema", "numbers", "checkpoint", "versions", "code", "hardware"} <= set(results)
    bound = numbers(run)["negative_importance_weighted_bound"]
    assert (bound["unit"], bound["split"], bound["count"]) == ("nats", "validation", 64)
    assert bound["protocol"] | {"num_samples": 5, "binarize": "none", "data": "digits"} == bound["protocol"]
    assert numbers(run)["throughput"]["value"] > 0
    assert "epoch 2/2  train loss" in outcome.out
    (table,) = [part for part in outcome.out.split("\n\n") if part.startswith("vae-digits\n")]
    # The main number first, and in half a line what the others are beside it.
    main, elbo, loss = table.splitlines()[1:4]
    assert re.fullmatch(
        r"negative importance-weighted bound \(K = 5\) .* ± [\d.]+ .*  \(64 validation examples\)", main
    )
    assert re.fullmatch(r"negative ELBO .*  \(the bound with K = 1\)", elbo)
    assert re.fullmatch(r"loss .*  \(what training minimizes: K = 1, one draw of noise\)", loss)
    shown = run.relative_to(tmp_path)
    assert f"run       {shown}/\n" in outcome.out
    assert f"{shown}/figures/samples.png" in outcome.out
    assert "GPU available" not in outcome.out + outcome.err


def rows(run: Path) -> list[dict]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def metrics(run: Path) -> list[dict]:
    """All of metrics.csv but the seconds, which no two runs share."""
    return [{name: value for name, value in row.items() if name != "timing/seconds"} for row in rows(run)]


def timing(run: Path) -> list[float]:
    return [float(row["timing/seconds"]) for row in rows(run) if row["timing/seconds"]]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_resume_goes_on_in_the_same_directory_to_the_same_end(train, tmp_path):
    assert train(*SMALL, "trainer.max_epochs=4", "paths.log_dir=whole").code == 0
    assert train(*SMALL, "paths.log_dir=parts").code == 0
    whole, part = run_directory(tmp_path / "whole"), run_directory(tmp_path / "parts")
    moved = part.rename(tmp_path / "moved")
    outcome = train(f"resume={moved.relative_to(tmp_path)}", "trainer.max_epochs=4")
    assert outcome.code == 0, outcome.err
    assert "resumed in epoch 3" in outcome.out
    for (name, a), b in zip(weights(whole).items(), weights(moved).values(), strict=True):
        assert torch.equal(a, b), name
    seconds = timing(moved)
    assert len(seconds) == 4
    assert sorted(set(seconds)) == seconds
    assert numbers(moved)["training_time"]["value"] == pytest.approx(seconds[-1])
    assert metrics(whole) == metrics(moved)
    assert not list(tmp_path.glob("parts/**/status.json"))
    assert "max_epochs: 4" in (moved / "config.yaml").read_text()
    typed = (moved / "overrides.yaml").read_text().splitlines()
    assert typed == [f"- {line}" for line in ["data=digits", *SMALL, "paths.log_dir=parts", "trainer.max_epochs=4"]]


def test_a_finished_run_says_what_to_add_and_refuses_other_settings_and_changes_nothing(train, tmp_path):
    assert train("data.limit=64", "trainer.max_epochs=1", "callbacks=minimal").code == 0
    run = run_directory(tmp_path / "logs")
    before = {file.name: file.read_bytes() for file in run.glob("*.*")}
    more = "add trainer.max_epochs=… for more"
    refused = {
        (): f"resume={run}: that run is done; {more} (or trainer.max_steps, trainer.max_time)\n",
        ("trainer.max_epochs=1",): f"resume: the run has done its 1 epochs; {more}\n",
    }
    for override in ("model.latent_dim=3", "data.batch_size=5", "model=vae_2d", "check=true", "seed=2"):
        refused[("trainer.max_epochs=2", override)] = f"{override}: a resumed run keeps its settings"
    for words, said in refused.items():
        outcome = train(f"resume={run}", *words)
        assert outcome.code == 2
        assert outcome.err.startswith(f"error: {said}")
        assert outcome.err.count("\n") == 1
        assert before == {file.name: file.read_bytes() for file in run.glob("*.*")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_leaves_a_checkpoint_and_the_status_stopped(number, train, tmp_path, monkeypatch):
    from pmodel.callbacks.timing import Timing

    original = Timing.on_train_batch_end

    def interrupt_in_the_second_epoch(self, trainer, *args):
        original(self, trainer, *args)
        if trainer.global_step == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Timing, "on_train_batch_end", interrupt_in_the_second_epoch)
    outcome = train("data.limit=64", "data.batch_size=32", "trainer.max_epochs=3")
    # That of a terminal; and "a temporary failure, run again", which a cluster's script asks for before it requeues.
    assert outcome.code == (130 if number == signal.SIGINT else 75)
    run = run_directory(tmp_path / "logs")
    assert f"resume={run.relative_to(tmp_path)}" in outcome.err
    assert "Traceback" not in outcome.err
    assert status(run)["status"] == "stopped"
    assert status(run)["reason"] == f"stopped by {number.name}"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert train(f"resume={run}").code == 0
    assert status(run)["status"] == "done"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 6
    assert numbers(run)["training_time"]["value"] < 60
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def test_a_run_begun_in_the_background_of_a_script_leaves_ctrl_c_to_the_foreground(train, tmp_path, monkeypatch):
    """A shell lets `train.py &` and `nohup train.py &` begin with SIGINT ignored."""
    from pmodel.callbacks.timing import Timing

    original = Timing.on_train_batch_end
    steps = []

    def interrupt(self, trainer, *args):
        original(self, trainer, *args)
        os.kill(os.getpid(), signal.SIGINT)
        steps.append(trainer.global_step)

    monkeypatch.setattr(Timing, "on_train_batch_end", interrupt)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        outcome = train(*SMALL, "data.batch_size=32", "trainer.max_epochs=1")
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        with interruptible(str), workers_stop_first(tmp_path):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.code == 0
    assert steps == [1, 2]
    assert status(run_directory(tmp_path / "logs"))["status"] == "done"


def test_a_terminal_without_the_sign_of_times_is_no_reason_to_fail(train, tmp_path, monkeypatch):
    with (tmp_path / "said.txt").open("w", encoding="ascii") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        outcome = train("data.limit=64", "trainer.max_epochs=1", "callbacks=minimal")
    assert outcome.code == 0, outcome.err
    assert "1 ? cpu" in (tmp_path / "said.txt").read_text()


def test_a_failure_while_it_trains_is_one_line_and_a_status(train, tmp_path, monkeypatch):
    from pmodel.callbacks.timing import Timing

    def fail(self, trainer, *args):
        if trainer.global_step == 2:
            raise ValueError("the batch is odd")

    monkeypatch.setattr(Timing, "on_train_batch_end", fail)
    outcome = train(*SMALL)
    assert outcome.code == 1
    run = run_directory(tmp_path / "logs")
    where = (run / "train.log").relative_to(tmp_path)
    assert outcome.err == f"error: the batch is odd (traceback in {where})\n"
    assert status(run)["status"] == "failed"
    assert status(run)["reason"] == "ValueError: the batch is odd"
    assert "Traceback" in (run / "train.log").read_text()


def test_what_is_wrong_before_the_first_step_leaves_nothing(train, tmp_path):
    outcome = train("data=mnist", "data_dir=nowhere", "model.likelihood=bernoulli")
    assert outcome.code == 2
    assert outcome.err.startswith("error: model.likelihood=bernoulli: expected two levels")
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    # What was there before stays.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert train("hydra.run.dir=mine", "model.likelihood=bernoulli").code == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes.txt"]


def test_without_validation_examples_the_training_loss_chooses(train, tmp_path):
    outcome = train(*SMALL, "data.num_validation=0")
    assert outcome.code == 0, outcome.err
    assert (run_directory(tmp_path / "logs") / "checkpoints" / "best.ckpt").exists()


def test_two_latents_are_drawn(train, tmp_path):
    assert train("model=vae_2d", *SMALL).code == 0
    figures = {f.stem for f in run_directory(tmp_path / "logs").glob("figures/*.png")}
    assert {"latent_manifold", "latent_scatter"} <= figures


def test_a_mixture_is_trained_like_any_other_model(train, tmp_path):
    outcome = train("model=gmm", "data=points", "data.limit=400", "data.name=moons", "trainer.max_epochs=12")
    assert outcome.code == 0, outcome.err
    run = run_directory(tmp_path / "logs")
    assert {"density.png", "clusters.png", "samples.png"} <= {f.name for f in run.glob("figures/*.png")}
    assert (run / "figures" / "density" / "epoch_001.png").exists()
    found = numbers(run)
    assert found["negative_log_density"]["value"] == pytest.approx(found["nll"]["value"], rel=1e-5)
    assert found["negative_log_density"]["count"] == 400
    assert "bits_per_dim" not in found["negative_log_density"]
    assert {"clustering_accuracy", "nmi", "ari"} <= set(found)
    assert "GPU available" not in outcome.out + outcome.err
    assert "warn" not in outcome.err.lower()


def test_a_density_of_dequantized_images_bounds_the_probability_of_their_levels(train, tmp_path):
    outcome = train("model=gaussian", "data=digits", "data.dequantize=true")
    assert outcome.code == 0, outcome.err
    found = numbers(run_directory(tmp_path / "logs"))
    density, bound = found["negative_log_density"], found["negative_log_likelihood_of_levels"]
    assert bound["value"] == pytest.approx(density["value"] + 64 * math.log(17))
    assert bound["bits_per_dim"] == pytest.approx(bound["value"] / 64 / math.log(2))
    assert 0 < bound["bits_per_dim"] < math.log2(17)


def test_k_means_without_validation_examples_reports_its_sum_of_squares(train, tmp_path):
    outcome = train("model=kmeans", "data=digits", "data.limit=200", "data.num_validation=0")
    assert outcome.code == 0, outcome.err
    found = numbers(run_directory(tmp_path / "logs"))
    assert found["inertia"]["split"] == "train"
    assert found["inertia"]["value"] == pytest.approx(200 * found["squared_distance"]["value"])


def test_a_density_without_validation_examples_or_a_finished_epoch_is_reported_honestly(train, tmp_path):
    outcome = train("model=kde", "data=digits", "data.limit=100", "data.num_validation=0", "paths.log_dir=no_val")
    assert outcome.code == 0, outcome.err
    run = run_directory(tmp_path / "no_val")
    assert (run / "checkpoints" / "best.ckpt").exists()
    assert {"nll", "bandwidth"} <= set(numbers(run))
    outcome = train("model=kde", "data=points_1d", "data.batch_size=100", "trainer.max_steps=2", "paths.log_dir=cut")
    assert outcome.code == 0, outcome.err
    assert "not fitted: no epoch was finished" in outcome.out
    assert "negative_log_density" not in numbers(run_directory(tmp_path / "cut"))


def test_training_that_ends_before_it_has_converged_says_so(train):
    outcome = train("model=gmm", "data=points", "data.limit=400", "trainer.max_epochs=2", "callbacks=minimal")
    assert "not converged: the last change" in outcome.out
    outcome = train("model=pca", "data=points", "data.limit=400", "callbacks=minimal")
    assert "converged" not in outcome.out


def numbers_of_one_and_two_processes(train, tmp_path, monkeypatch, *settings):
    """The numbers of a run in this process, and of the same one in two."""
    monkeypatch.setattr(Processes, "_start", start_forked)
    settings = [*settings, "callbacks=minimal", "logger=none"]
    assert train(*settings, "paths.log_dir=one").code == 0
    outcome = train(*settings, "trainer.devices=2", "trainer.accelerator=cpu", "paths.log_dir=two")
    assert "2 × cpu" in outcome.out, outcome.err
    return [numbers(run_directory(tmp_path / name)) for name in ("one", "two")]


def test_k_means_on_two_processes_prints_the_numbers_of_one(train, tmp_path, monkeypatch):
    one, both = numbers_of_one_and_two_processes(train, tmp_path, monkeypatch, "model=kmeans", "data.limit=200")
    for name in ("inertia", "squared_distance", "best_epoch"):
        assert both[name]["value"] == pytest.approx(one[name]["value"], rel=1e-6)
        assert both[name].get("count") == one[name].get("count")


def test_a_game_on_two_processes_has_the_losses_of_one(train, tmp_path, monkeypatch):
    """Noise too is drawn once for all and shared out, so a batch in two halves is the same batch."""
    game = ["model=gan", "model.num_discriminator_steps=2", "data.limit=320", "data.batch_size=32", "model.r1=1"]
    # Adam divides by the size of a gradient, and so makes steps of rounding errors.
    game += [f"model/optimizer@model.optimizer.{player}=sgd" for player in ("generator", "discriminator")]
    one, both = numbers_of_one_and_two_processes(train, tmp_path, monkeypatch, *game, "trainer.max_epochs=1")
    for name in ("discriminator_loss", "generator_loss", "d_real", "d_fake", "discriminator_gradient", "frechet"):
        assert both[name]["value"] == pytest.approx(one[name]["value"], rel=1e-3), name
        assert both[name].get("count") == one[name].get("count")


@pytest.mark.parametrize(("model", "columns"), [("gmm", 1), ("kmeans", 2), ("kde", 2), ("gmm", 3)])
def test_a_csv_file_is_clustered_and_its_density_estimated(model, columns, train, tmp_path):
    rows = torch.randn(300, columns, generator=torch.Generator().manual_seed(0)) * 10 ** torch.arange(columns)
    (tmp_path / "mine.csv").write_text("\n".join(",".join(f"{x:.4f}" for x in row) for row in rows.tolist()))
    outcome = train(f"model={model}", "data=table", "data.path=mine.csv", "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    drawn = {f.stem for f in run_directory(tmp_path / "logs").glob("figures/*.png")}
    assert ("pairs" if columns == 3 else "clusters" if model == "kmeans" else "density") in drawn


@pytest.mark.parametrize("data", ["points", "points_1d"])
def test_points_are_drawn_as_clouds(data, train, tmp_path):
    outcome = train(f"data={data}", "data.limit=64", "trainer.max_epochs=1", "callbacks.final.num_samples=2")
    assert outcome.code == 0, outcome.err
    figures = {f.stem for f in run_directory(tmp_path / "logs").glob("figures/*.png")}
    assert figures == {"data", "samples", "reconstructions", "latent_scatter"}


@pytest.mark.parametrize(("model", "steps"), [("vae", 6), ("autoencoder", 8), ("gan", 8)])
def test_a_run_that_max_steps_ends_within_or_with_an_epoch_goes_on_there(model, steps, train, tmp_path):
    """Guards what `ExactResume` does about Lightning, which would end a finished epoch once more."""
    settings = [f"model={model}", "data.limit=64", "data.batch_size=16", "callbacks=minimal", "logger=none"]
    if model == "gan":  # whose rates otherwise depend on max_steps from the first step on
        settings += [f"model/schedule@model.schedule.{player}=constant" for player in ("generator", "discriminator")]
    assert train(*settings, "trainer.max_steps=12", "paths.log_dir=whole").code == 0
    assert train(*settings, f"trainer.max_steps={steps}", "paths.log_dir=parts").code == 0
    whole, parts = (run_directory(tmp_path / name) for name in ("whole", "parts"))
    assert train(f"resume={parts}", "trainer.max_steps=12").code == 0
    one, two = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, parts))
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, two["state_dict"][name]), name
    assert [s["last_epoch"] for s in two["lr_schedulers"]] == [s["last_epoch"] for s in one["lr_schedulers"]]
    loops = [c["loops"]["fit_loop"]["epoch_progress"] for c in (one, two)]
    assert loops[0] == loops[1]


@pytest.mark.parametrize("option", ["overfit", "profile", "anomaly"])
def test_debug_settings_run(option, train):
    assert train(f"debug={option}", "data.limit=64", "trainer.max_epochs=1", "callbacks=minimal").code == 0


def test_runs_that_only_try_something_lie_apart(train, tmp_path):
    outcome = train("check=true")
    assert outcome.code == 0
    assert "one batch went through everything" in outcome.out
    last = run_directory(tmp_path / "logs" / "check") / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 1
    assert train("debug=fast", "data.eval_batch_size=10").code == 0
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["check", "debug"]
    # The counts are of what was measured.
    found = numbers(run_directory(tmp_path / "logs" / "debug"))
    assert {number["count"] for number in found.values() if "count" in number} == {20}


@pytest.mark.mnist
def test_mnist_trains(train, data_dir):
    outcome = train(
        *("data=mnist", f"data_dir={data_dir}", "data.binarize=dynamic", "data.limit=500", "trainer.max_epochs=1"),
        *("callbacks.final.num_samples=2", "model/network=conv"),
    )
    assert outcome.code == 0, outcome.err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains(train):
    assert train(*SMALL, "trainer=gpu", "trainer.precision=bf16-mixed").code == 0


def test_a_training_goes_on_where_nobody_reads_what_it_says_any_more(tmp_path):
    """`train.py … | head -1`"""
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "data=digits",
        "data.limit=64",
        "trainer.max_epochs=3",
        "callbacks=minimal",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "vae on digits: loading …\n"
        process.stdout.close()
        assert process.wait(300) == 0, process.stderr.read()
        assert process.stderr.read() == ""
    assert status(run_directory(tmp_path / "logs"))["status"] == "done"


def test_who_takes_all_checkpoints_out_gets_none(train, tmp_path):
    """Lightning would have its own, outside of the run's directory."""
    none = [f"callbacks.{name}=null" for name in ("best", "snapshots", "last")]
    outcome = train("model=vae", "data.limit=64", "trainer.max_epochs=1", "callbacks=minimal", "logger=csv", *none)
    assert outcome.code == 0
    assert not [*tmp_path.glob("**/*.ckpt")]
