"""A training whose numbers are none any more ends at once, and no checkpoint takes a good one's place."""

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from built import GMM, KMeans, LastCheckpoint
from lightning.pytorch import Callback
from support import array_data, build, config, fit, on_two_processes

from pmodel.commands.strategies import adapted
from pmodel.runs.checkpoint_io import AtomicCheckpointIO
from pmodel.training.divergence import Diverged, not_finite

SMALL = ["data.limit=96", "data.batch_size=32", "model.latent_dim=3"]
VAE = [*SMALL, "model.network.encoder.hidden_dims=[16]", "model.network.decoder.hidden_dims=[16]"]
GAN = [*SMALL, "model=gan"]


class Poison(Callback):
    """Makes one number of this device's examples infinite, in one step."""

    def __init__(self, step: int, rank: int = 0):
        self.step, self.rank = step, rank

    def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == self.step and trainer.global_rank == self.rank:
            batch.x[0] = math.inf


class PoisonGradient(Callback):
    """Makes a gradient infinite after one step's finite loss."""

    def __init__(self, step: int):
        self.step = step

    def on_after_backward(self, trainer: Any, model: Any) -> None:
        if trainer.global_step == self.step - 1:
            next(model.parameters()).grad.fill_(math.inf)


def start(overrides: list[str], *callbacks: Callback, **settings: Any) -> tuple[Any, Any]:
    lightning.seed_everything(0, verbose=False)
    return fit_on(*build(*overrides), config(*overrides)["trainer"], *callbacks, **settings)


def fit_on(model: Any, data: Any, trainer: dict, *callbacks: Callback, **settings: Any) -> Any:
    settings = {"plugins": [AtomicCheckpointIO()], "callbacks": list(callbacks), **adapted(model, trainer), **settings}
    return fit(model, data, max_epochs=3, **settings)


def weights_are_finite(path: Path) -> bool:
    return all(w.isfinite().all() for w in torch.load(path, weights_only=True)["state_dict"].values())


@pytest.mark.parametrize(
    ("overrides", "terms", "advice"),
    [
        (VAE, ["loss", "elbo", "reconstruction", "kl"], "try a lower model.optimizer.lr"),
        (GAN, ["discriminator_loss", "d_real"], "try a lower lr of model.optimizer.generator"),
    ],
)
def test_a_loss_that_is_no_number_names_its_terms_the_step_and_the_last_good_checkpoint(
    overrides, terms, advice, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Diverged) as caught:
        start(overrides, Poison(step=5), LastCheckpoint("last.ckpt", every_n_steps=1))
    line = str(caught.value)
    named = ", ".join(rf"{name} (nan|-?inf)" for name in terms).replace(" (", " is (", 1)
    good = "the last good checkpoint is last.ckpt"
    assert re.match(rf"the training diverged: {named} at step 5; {good}; {advice}", line), line
    assert torch.load("last.ckpt", weights_only=True)["global_step"] == 4
    assert weights_are_finite(Path("last.ckpt"))


@pytest.mark.parametrize("overrides", [VAE, GAN])
def test_without_a_look_at_each_step_it_ends_before_the_next_checkpoint(overrides, tmp_path, monkeypatch):
    """As on a GPU, where a look at each step would wait for it."""
    path = tmp_path / "last.ckpt"
    monkeypatch.setattr("pmodel.training.measured.MeasuredModule.check_loss", lambda *_: None)
    with pytest.raises(Diverged, match=r"at step 5; the last good checkpoint is .*last.ckpt"):
        start(overrides, Poison(step=5), LastCheckpoint(str(path), every_n_steps=1), log_every_n_steps=0)
    assert torch.load(path, weights_only=True)["global_step"] == 4
    # At an epoch's end, and at a step that is logged:
    with pytest.raises(Diverged, match="at step 6; no checkpoint was written before"):
        start(overrides, Poison(step=5), log_every_n_steps=0)
    with pytest.raises(Diverged, match="at step 5; no checkpoint was written before"):
        start(overrides, Poison(step=5), log_every_n_steps=1)


def test_a_weight_that_is_no_number_after_a_finite_loss_is_not_saved(tmp_path):
    path = tmp_path / "last.ckpt"
    with pytest.raises(Diverged, match=r"a weight of encoder\.\S+ is nan at step 4; the last good checkpoint is "):
        start(VAE, PoisonGradient(step=4), LastCheckpoint(str(path), every_n_steps=1))
    assert torch.load(path, weights_only=True)["global_step"] == 3
    assert weights_are_finite(path)
    with pytest.raises(Diverged, match=r"loss is nan, .* at step 5; no checkpoint was written before"):
        start(VAE, PoisonGradient(step=4))


@pytest.mark.parametrize("model", [lambda: KMeans([3], 2), lambda: GMM([3], 2, reg_covar=1e-3)], ids=["kmeans", "gmm"])
def test_sums_that_are_no_numbers_are_named_before_they_reach_the_parameters(model, tmp_path):
    lightning.seed_everything(0, verbose=False)
    model, path = model(), tmp_path / "last.ckpt"
    callbacks, plugins = [Poison(step=5), LastCheckpoint(str(path))], [AtomicCheckpointIO()]
    data = array_data(torch.rand(60, 3), 20)
    with pytest.raises(Diverged, match=r"the sum of \w+ is (nan|inf).* at step 6; .*last.ckpt; look for values in"):
        fit(model, data, max_epochs=3, callbacks=callbacks, plugins=plugins)
    saved = torch.load(path, weights_only=True)["state_dict"]
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, saved[name], rtol=0, atol=0, equal_nan=True)


def test_an_infinite_norm_of_a_gradient_is_none_of_it():
    """A loss scale that is too large makes one, and the step is skipped."""
    assert not_finite({"discriminator_gradient": math.inf, "loss": 1.0}) == {}
    assert not_finite({"loss": math.inf, "kl": 2.0}) == {"loss": math.inf}


def on_rank(overrides: list[str], folder: Path, rank: int) -> dict[str, str]:
    path = str(folder / "last.ckpt")
    two = ["trainer.devices=2"]
    try:
        start([*overrides, *two], Poison(5, rank=1), LastCheckpoint(path, every_n_steps=1), devices=2)
    except Diverged as error:
        return {"said": str(error)}
    return {}


@pytest.mark.parametrize("overrides", [VAE, GAN])
def test_an_infinite_number_on_one_of_two_devices_ends_both_at_the_same_step(overrides, tmp_path):
    first, second = (outcome["said"] for outcome in on_two_processes(partial(on_rank, overrides, tmp_path), tmp_path))
    for said in (first, second):
        assert " at step 5; " in said
    assert first.split(" at step")[0] == second.split(" at step")[0]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4
