"""What `import pmodel` gives: models, trainings and runs, with the defaults and the files of the commands."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import Run
from PIL import Image
from support import ROOT, run_directory
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import pmodel
from pmodel.callbacks.checkpoints import BestCheckpoint
from pmodel.files.foreign import read_yaml
from pmodel.interactive.run import InteractiveRun
from pmodel.models.vae import VAE
from pmodel.training.divergence import Diverged
from pmodel.training.gradient import GradientModule

SMALL = ("data.limit=64", "callbacks=minimal")
QUICK = [
    *("metric.likelihood.num_samples=10", "metric.samples=null", "metric.memorization=null"),
    "callbacks.figures=null",
]


class Own(GradientModule):
    """An autoencoder without a file."""

    units: ClassVar[dict[str, str]] = {"loss": "per example"}

    def __init__(self, data_shape: list[int], width: int = 4, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.shape, self.modes = tuple(data_shape), set()
        dims = torch.Size(data_shape).numel()
        self.encode, self.back = nn.Sequential(nn.Flatten(), nn.Linear(dims, width)), nn.Linear(width, dims)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.back(self.encode(x)).view(-1, *self.shape)

    def loss(self, batch: Any) -> dict[str, Tensor]:
        self.modes.add((torch.is_grad_enabled(), self.training))
        return {"loss": (self.reconstruct(batch.x) - batch.x).square().flatten(1).sum(1)}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> InteractiveRun:
    """A VAE, with all figures."""
    folder = tmp_path_factory.mktemp("python")
    shown = "callbacks.figures.include.arithmetic=null"  # it would train a classifier
    model = pmodel.build("vae", "data.limit=64", shown, f"paths.log_dir={folder}", data="digits", latent_dim=3)
    return pmodel.fit(model, max_epochs=2)


def weights(folder: Path, name: str = "last") -> dict[str, Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["vae", "kmeans"])
def test_fit_is_the_command_line_bit_for_bit_with_the_same_settings(name: str, train: Run):
    assert train(f"model={name}", *SMALL, "trainer.max_epochs=2", "paths.log_dir=typed").code == 0
    typed = run_directory(Path("typed"))
    torch.rand(3)  # what the caller drew changes nothing
    ours = pmodel.fit(pmodel.build(name, *SMALL, data="digits"), max_epochs=2)
    assert same(weights(typed), weights(ours.folder))
    settings = [read_yaml(folder / "config.yaml") for folder in (typed, ours.folder)]
    settings[0]["paths"]["log_dir"] = "logs"
    assert settings[0] == settings[1]
    files = [{path.name for path in folder.rglob("*")} for folder in (typed, ours.folder)]
    assert files[0] == files[1]
    assert ours.folder.parent == Path("logs/train") / f"{name}-digits"


def test_a_run_of_fit_is_resumed_and_evaluated_by_the_commands(train: Run, evaluate: Run):
    ours = pmodel.fit(pmodel.build("vae", *SMALL, data="digits"), max_epochs=1)
    assert json.loads((ours.folder / "status.json").read_text())["status"] == "done"
    assert train(f"resume={ours.folder}", "trainer.max_epochs=2").code == 0
    outcome = evaluate(f"run={ours.folder}", *QUICK)
    assert outcome.code == 0, outcome.err
    opened = pmodel.open_run(ours.folder)
    assert opened.epochs == 2
    results = opened.evaluate(*QUICK)
    typed = opened.results["numbers"]
    assert len(list((ours.folder / "eval").iterdir())) == 2
    for number in results.document["runs"][0]["numbers"]:
        if number["name"] != "time_per_sample":
            assert number in typed
    assert results["reconstruction_error"] > 0
    assert results.report.is_file()
    assert "reconstruction error" in repr(results)
    assert "<td>reconstruction error, squared error per pixel ↓</td>" in results._repr_html_()
    with pytest.raises(KeyError, match=r"fid: there are .*reconstruction_error"):
        results["fid"]


def test_several_runs_are_evaluated_side_by_side():
    runs = [pmodel.fit(pmodel.build(name, *SMALL, data="digits"), max_epochs=1) for name in ("pca", "kmeans")]
    results = pmodel.evaluate(*runs, *QUICK, split="validation")
    assert results["reconstruction_error"].keys() == {"pca", "kmeans"}
    assert results.report.is_relative_to("logs/eval")
    for wrong in ("splt=1: there is no setting", "metric=1: expected"):
        with pytest.raises(ValueError, match=wrong):
            runs[0].evaluate(**{wrong.partition("=")[0]: 1})
    with pytest.raises(ValueError, match=r"^split='other': expected one of train"):
        runs[0].evaluate(split="other")
    with pytest.raises(ValueError, match=r"^evaluate: expected runs"):
        pmodel.evaluate("logs/train/x")
    assert not (runs[0].folder / "eval").exists()


def test_afterwards_the_model_has_the_best_weights_and_can_go_on():
    model = pmodel.build("vae", "data.limit=64", data="digits")
    model.train()
    first = pmodel.fit(model, "callbacks=minimal", max_epochs=2)
    assert first.model is model
    assert not model.training
    assert same(model.state_dict(), weights(first.folder, "best"))
    assert same(pmodel.open_run(first.folder).model.state_dict(), model.state_dict())
    second = pmodel.fit(model, "callbacks=minimal", max_epochs=1)
    assert second.folder != first.folder
    assert second.epochs == 1
    assert not same(weights(second.folder), weights(first.folder))


def test_the_caller_finds_everything_as_it_was():
    before = torch.get_num_threads(), signal.getsignal(signal.SIGINT), logging.getLogger().level, list(warnings.filters)
    torch.manual_seed(5)
    np.random.seed(5)
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    fitted = pmodel.fit(pmodel.build("pca", *SMALL, data="digits"), max_epochs=1)
    fitted.evaluate(*QUICK)
    with pytest.raises(ValueError, match=r"^trainer.max_epochs"):
        pmodel.fit(pmodel.build("pca", data="digits"), max_epochs="many")
    assert (torch.rand(1), np.random.rand()) == drawn
    now = torch.get_num_threads(), signal.getsignal(signal.SIGINT), logging.getLogger().level, list(warnings.filters)
    assert now == before


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: pmodel.build("vea"), r"^model=vea: model has no option 'vea'; did you mean vae\?"),
        (
            lambda: pmodel.build("vae", latent_dm=8),
            r"latent_dm=8: model has no 'latent_dm'; did you mean model.latent_",
        ),
        (lambda: pmodel.build("vae", latent_dim=-8), r"^model.latent_dim=-8: expected a whole number, at least 1"),
        (lambda: pmodel.build("vae", **{"optimizer.lrr": 1}), r"model.optimizer has no 'lrr'; did you mean .*\.lr\?"),
        (lambda: pmodel.build("vae", data="digit"), r"^data=digit: data has no option 'digit'; did you mean digits\?"),
        (lambda: pmodel.build("vae", "data.batchsize=8"), r"^data.batchsize=8: data has no 'batchsize'; did you mean"),
        (lambda: pmodel.build("vae", 8), r"^8: expected a setting as it is typed"),
        (lambda: pmodel.build("trainer=cpu"), r"^trainer=cpu: expected the name of a model"),
        (lambda: pmodel.build(Own, widht=3), r"^Own: .*'widht'"),
        (lambda: pmodel.build(dict), r"^dict: expected a subclass of GradientModule"),
        (lambda: pmodel.fit("vae"), r"^model: expected a model, such as pmodel.build\('vae'\), not str"),
        (lambda: pmodel.fit(pca(), max_epoch=1), r"^trainer.max_epoch=1: trainer has no 'max_epoch'; did you mean"),
        (lambda: pmodel.fit(pca(), max_epochs=0.5), r"^trainer.max_epochs=0.5: expected a whole number"),
        (lambda: pmodel.fit(pca(), devices=2), r"^trainer.devices=2: expected 1, since pmodel.fit trains in this"),
        (lambda: pmodel.fit(pca(), "data=points"), r"^data: data_shape=\[2\], but the model was built for data_shape="),
        (lambda: pmodel.fit(pmodel.build("vae", data="digits"), np.zeros((9, 8, 8))), r"^data: num_levels=2, but"),
        (lambda: pmodel.fit(pca(), np.full((9, 8, 8), np.nan)), r"^data: example 0 has a value that is NaN"),
        (lambda: pmodel.fit(Own([2], **COMMON)), r"^data: expected data to train on"),
        (lambda: pmodel.fit(nothing_saved(), "digits"), r"^NothingSaved: expected self.save_hyperparameters\(\)"),
        (lambda: pmodel.fit(pca(), "data.num_validation=9999"), r"^data.num_validation=9999: expected less than"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(call, line: str, tmp_path: Path):
    with pytest.raises(ValueError, match=line) as refused:
        call()
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def pca() -> Any:
    return pmodel.build("pca", data="digits")


COMMON = {
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
    "schedule": {"scheduler": {"_target_": "torch.optim.lr_scheduler.ConstantLR", "factor": 1.0}, "interval": "epoch"},
    "ema_decay": None,
    "compile": False,
}
COMMON["schedule"]["length"] = None


def nothing_saved() -> Any:
    class NothingSaved(GradientModule):
        def __init__(self) -> None:
            super().__init__(**COMMON)

        def loss(self, batch: Any) -> dict[str, Tensor]:
            return {}

    return NothingSaved()


def test_settings_are_those_of_conf_but_for_what_is_given():
    model = pmodel.build("vae", "model/network=conv", "seed=2", data="mnist_5k", beta=2, **{"optimizer.lr": 0.5})
    assert (model.hparams.beta, model.hparams.optimizer["lr"], model.hparams.latent_dim) == (2, 0.5, 16)
    assert "Conv" in model.hparams.network["encoder"]["_target_"]
    assert model.hparams.data_shape == [1, 28, 28]
    of_array = pmodel.build("vae", data=np.random.default_rng(0).random((9, 3, 8, 6)))
    assert (of_array.hparams.data_shape, of_array.hparams.num_levels) == ([3, 8, 6], 256)
    assert pmodel.build("kmeans", data=(np.eye(9), np.arange(9) % 4)).hparams.num_clusters == 4
    assert pmodel.build("kmeans", data=np.eye(9)).hparams.num_clusters == 10
    one, other = (pmodel.build("vae", f"seed={seed}", data="digits").state_dict() for seed in (1, 2))
    assert not same(one, other)
    assert same(one, pmodel.build("model=vae", "data=digits").state_dict())


def test_a_stop_ends_at_a_step_and_leaves_a_run_that_goes_on(train: Run, monkeypatch: pytest.MonkeyPatch):
    loss, steps = VAE.loss, []

    def stopped(self: VAE, batch: Any) -> Any:
        steps.append(1)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return loss(self, batch)

    handler = signal.getsignal(signal.SIGINT)
    model = pmodel.build("vae", *SMALL, "data.batch_size=16", data="digits")
    with monkeypatch.context() as patch:
        patch.setattr(VAE, "loss", stopped)
        with pytest.raises(KeyboardInterrupt) as stop:
            pmodel.fit(model, max_epochs=3)
    assert signal.getsignal(signal.SIGINT) is handler
    folder = run_directory(Path("logs"))
    said = f"stopped by SIGINT; pmodel.open_run('{folder}') opens the run; go on with: uv run train.py resume={folder}"
    assert str(stop.value) == said
    assert json.loads((folder / "status.json").read_text())["status"] == "stopped"
    assert pmodel.open_run(folder).sample(2).shape == (2, 1, 8, 8)
    assert train(f"resume={folder}").code == 0
    straight = pmodel.fit(pmodel.build("vae", *SMALL, "data.batch_size=16", data="digits"), max_epochs=3)
    assert same(weights(folder), weights(straight.folder))


def test_a_stop_between_steps_is_a_keyboard_interrupt_too(monkeypatch: pytest.MonkeyPatch):
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BestCheckpoint, "on_train_start", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"^stopped by SIGINT$"):
        pmodel.fit(pmodel.build("pca", *SMALL, data="digits"), max_epochs=1)
    assert signal.getsignal(signal.SIGINT) is handler
    assert json.loads((run_directory(Path("logs")) / "status.json").read_text())["status"] == "stopped"


def test_a_training_that_fails_says_so_in_its_directory():
    with pytest.raises(Diverged, match=r"^the training diverged: loss is"):
        pmodel.fit(pmodel.build("autoencoder", *SMALL, data="digits", **{"optimizer.lr": 1e30}), max_epochs=9)
    folder = run_directory(Path("logs"))
    assert json.loads((folder / "status.json").read_text())["status"] == "failed"
    assert "failed" in (folder / "train.log").read_text()


def test_another_thread_trains_too():
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(pmodel.fit(pmodel.build("pca", *SMALL, data="digits"), max_epochs=1))
    )
    thread.start()
    thread.join()
    assert found[0].epochs == 1


def test_a_class_without_a_file_is_trained_and_opened_with_the_class_at_hand(evaluate: Run):
    model = pmodel.build(Own, "model/optimizer=sgd", *SMALL, data="digits", width=2, **{"optimizer.lr": 0.01})
    assert (model.hparams.optimizer["_target_"], model.hparams.optimizer["lr"]) == ("torch.optim.SGD", 0.01)
    ours = pmodel.fit(model, max_epochs=2)
    assert ours.folder.parent.name == "own-digits"
    assert model.modes == {(True, True), (False, False)}  # it is trained in training mode
    pmodel.fit(model, "callbacks=minimal", max_epochs=1)
    assert (True, False) not in model.modes  # also where it comes from an earlier fit
    assert ours.evaluate(*QUICK)["reconstruction_error"] > 0
    again = pmodel.open_run(ours.folder, model=Own)
    assert same(again.model.state_dict(), weights(ours.folder, "best"))
    with pytest.raises(ValueError, match=r"^run=logs/train/own-digits/.*: the package \w+ is not trusted; "):
        pmodel.open_run(ours.folder)
    outcome = evaluate(f"run={ours.folder}", *QUICK)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    direct = pmodel.fit(Own([1, 8, 8], **COMMON), "digits", *SMALL, max_epochs=1)
    assert direct.config["model"]["optimizer"]["lr"] == 0.01


def test_arrays_are_trained_on_and_handed_over_again(train: Run, evaluate: Run, capfd: pytest.CaptureFixture):
    x = np.random.default_rng(0).random((60, 8, 8))
    loader = DataLoader(TensorDataset(torch.tensor(x)[:, None], torch.arange(60) % 3), batch_size=12)
    model = pmodel.build("autoencoder", "callbacks=minimal", data=loader)
    ours = pmodel.fit(model, max_epochs=2)
    assert ours.config["data"]["batch_size"] == 12
    assert ours.data.split_sizes == {"train": 48, "validation": 6}
    assert "values are rounded to the nearest of 256 levels" in capfd.readouterr().out
    numbers = ours.evaluate(*QUICK)
    assert numbers.document["runs"][0]["data"]["split_sizes"]["test"] == 6
    opened = pmodel.open_run(ours.folder, data=loader)
    assert opened.evaluate(*QUICK)["reconstruction_error"] == numbers["reconstruction_error"]
    assert same(opened.model.state_dict(), model.state_dict())
    with pytest.raises(ValueError, match=r"^data: these are not the examples of the run"):
        pmodel.open_run(ours.folder, data=x[:30])
    for outcome in (evaluate(f"run={ours.folder}"), train(f"resume={ours.folder}", "trainer.max_epochs=3")):
        assert outcome.code == 2
        assert "data=arrays: the examples were handed over in Python" in outcome.err
        assert outcome.err.count("\n") == 1
    with pytest.raises(ValueError, match=r"^run=.*: data: expected none, since the run finds its own, digits"):
        pmodel.open_run(pmodel.fit(pca(), *SMALL, max_epochs=1).folder, data=x)
    other = pmodel.fit(model, x, "callbacks=minimal", max_epochs=1)
    assert other.data.split_sizes == {"train": 48, "validation": 6}
    assert other.config["data"]["batch_size"] == 128


def test_a_data_module_of_build_is_data_too():
    data = pmodel.build("data=points", num_train=50, num_validation=20)
    ours = pmodel.fit(pmodel.build("gmm", data="points"), data, "callbacks=minimal", max_epochs=2)
    assert ours.data.split_sizes == {"train": 50, "validation": 20}
    assert ours.folder.parent.name == "gmm-points"


def test_a_figure_is_that_of_the_training_or_is_drawn(run):
    for name in ("samples", "reconstructions", "loss_curves", "data"):
        with Image.open(run.folder / "figures" / f"{name}.png") as file:
            assert np.array_equal(np.asarray(run.show(name)), np.asarray(file))
    (run.folder / "figures" / "reconstructions.png").rename(run.folder / "kept.png")
    drawn = run.show("reconstructions")
    with Image.open(run.folder / "kept.png") as file:  # of the last weights, not of the best
        assert drawn.size == file.size
    with pytest.raises(ValueError, match=r"^show\('sample'\): there is no such figure; there are data, samples, "):
        run.show("sample")
    with pytest.raises(ValueError, match=r"^show\('centres'\): the model has no clusters$"):
        run.show("centres")


def test_samples_and_interpolations_are_those_of_the_model(run):
    assert torch.equal(run.sample(4), run.sample(4, seed=0))
    assert not torch.equal(run.sample(4, seed=1), run.sample(4))
    assert not torch.equal(run.sample(4, seed=None), run.sample(4, seed=None))
    between = run.interpolate(0, 5, steps=3)
    x = run.data.examples("test", 6).x[[0, 5]]
    with torch.no_grad():
        codes = run.model.encode(x)
        expected = run.model.decode(torch.stack([codes[0], codes.mean(0), codes[1]]))
    torch.testing.assert_close(between, expected)
    assert run.interpolate(1, 0, split="validation").shape == (8, 1, 8, 8)
    with pytest.raises(ValueError, match=r"^interpolate\(0, 64\): expected numbers from 0 to 63 of test examples"):
        run.interpolate(0, 64)
    assert pmodel.picture(between, columns=3).width > 3 * 8
    with pytest.raises(ValueError, match=r"^picture: \[3\]: expected images"):
        pmodel.picture(torch.zeros(3))
    assert run._repr_html_().startswith("<code>Run(")


def test_samples_are_in_the_units_of_the_data_and_missing_answers_are_named(tmp_path: Path):
    rows = np.random.default_rng(0).normal(1e6, 2, (200, 2))
    np.savetxt(tmp_path / "table.csv", rows, delimiter=",")
    ours = pmodel.fit(pmodel.build("gaussian", "data.path=table.csv", "callbacks=minimal", data="table"), max_epochs=2)
    assert (ours.sample(500).mean(0) - 1e6).abs().max() < 2
    with pytest.raises(ValueError, match=r"^interpolate: Gaussian has no encode$"):
        ours.interpolate(0, 1)
    kmeans = pmodel.fit(pmodel.build("kmeans", *SMALL, data="digits"), max_epochs=1)
    with pytest.raises(ValueError, match=r"^sample: KMeans has no sample$"):
        kmeans.sample(3)


def test_importing_the_package_loads_nothing_heavy():
    code = "import pmodel, sys; assert not {'torch', 'lightning', 'IPython', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
