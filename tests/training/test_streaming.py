"""Training by sums: what they may not depend on, when it stops, and how it is resumed."""

from functools import partial
from pathlib import Path

import lightning
import pytest
import torch
from built import GMM, KDE, PCA, PCAGMM, Gaussian, KMeans, LastCheckpoint
from support import StopAt, array_data, build, config, fit, on_two_processes

from pmodel.callbacks.resume import ExactResume
from pmodel.commands.strategies import StreamingDDP
from pmodel.data.digits import read_digits

MODELS = {
    "kmeans": lambda: KMeans([64], 10, num_starts=2, init_size=100),
    "pca": lambda: PCA([64], 10, init_size=100),
    "gaussian": lambda: Gaussian([64], reg_covar=1e-3, init_size=100),
    "gmm": lambda: GMM([64], 4, reg_covar=1e-3, init_size=100),
    "pca_gmm": lambda: PCAGMM([64], 6, 4, init_size=100),
    "kde": lambda: KDE([64], None, kernel="isotropic", init_size=100),
}
EPOCHS = 6


def digits() -> torch.Tensor:
    return read_digits()[0].flatten(1).double()[:401] / 16


def trained(name: str, batch_size: int, **settings):
    lightning.seed_everything(0, verbose=False)
    model = MODELS[name]()
    trainer = fit(model, array_data(digits(), batch_size, num_validation=50), max_epochs=EPOCHS, **settings)
    return model, trainer


def assert_same(a: torch.nn.Module, b: dict[str, torch.Tensor]) -> None:
    assert set(a.state_dict()) == set(b)
    for name, x in a.state_dict().items():
        close = {"rtol": 1e-9, "atol": 1e-10, "equal_nan": True}
        torch.testing.assert_close(x.double(), b[name].double(), **close, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("name", MODELS)
def test_results_do_not_depend_on_the_batch_size(name):
    whole = trained(name, 401)[0]
    for batch_size in (1, 37, 400):
        assert_same(whole, trained(name, batch_size)[0].state_dict())


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory) -> dict[str, dict[str, torch.Tensor]]:
    """The parameters of each model, trained by two processes."""
    folder = tmp_path_factory.mktemp("two")
    return on_two_processes(partial(train_as_one_of_two, folder), folder)[0] | {"folder": folder}


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_give_the_result_of_one(name, of_two_processes):
    """401 examples in batches of 37: the processes' shares are uneven, and none is padded."""
    assert_same(trained(name, 37)[0], of_two_processes[name])


RESUMED = ["kmeans", "pca", "gmm"]


@pytest.mark.parametrize("name", RESUMED)
def test_two_processes_resumed_within_an_epoch_end_bit_identical(name, of_two_processes):
    for key, whole in of_two_processes[name].items():
        resumed = of_two_processes[f"{name}, resumed"][key]
        assert torch.equal(whole.nan_to_num(1.5), resumed.nan_to_num(1.5)), key


@pytest.mark.parametrize("name", RESUMED)
def test_one_process_goes_on_within_an_epoch_of_two(name, of_two_processes):
    model, data = MODELS[name](), array_data(digits(), 37, num_validation=50)
    fit(model, data, of_two_processes["folder"] / f"{name}.ckpt", max_epochs=EPOCHS, callbacks=[ExactResume()])
    assert_same(model, of_two_processes[name])


def train_as_one_of_two(folder: Path, rank: int) -> dict[str, dict[str, torch.Tensor]]:
    states = {}
    for name in RESUMED:
        part = str(folder / f"{name}.ckpt")
        settings = {"devices": 2, "strategy": StreamingDDP(), "callbacks": [ExactResume(), LastCheckpoint(part)]}
        trained(name, 37, max_steps=5, **settings)
        model, data = MODELS[name](), array_data(digits(), 37, num_validation=50)
        fit(model, data, part, max_epochs=EPOCHS, **{**settings, "strategy": StreamingDDP(), "callbacks": []})
        states[f"{name}, resumed"] = model.state_dict()
    for name in MODELS:
        model, trainer = trained(name, 37, devices=2, strategy=StreamingDDP())
        assert trainer.world_size == 2
        states[name] = model.state_dict()
    return states


@pytest.mark.parametrize("name", MODELS)
def test_the_order_of_the_examples_does_not_matter(name):
    """With everything in the start, another order changes nothing but rounding, and k-means' ties."""
    results = []
    for seed in (0, 1):
        lightning.seed_everything(0, verbose=False)
        model, data = MODELS[name](), array_data(digits(), 64)
        data.seed = seed
        fit(model, data, max_epochs=EPOCHS)
        results.append(model)
    assert_same(results[0], results[1].state_dict())


@pytest.mark.parametrize("stop_at", [12, 17])
@pytest.mark.parametrize("name", ["kmeans", "gmm", "pca_gmm"])
def test_a_resumed_run_ends_bit_identical(name, stop_at, tmp_path):
    """6 epochs of 6 batches, against a stop after 12 (an epoch's end) or 17 (inside an epoch) and a resume."""

    whole, trainer = trained(name, 70, callbacks=[ExactResume()])
    with pytest.raises(InterruptedError):
        trained(name, 70, callbacks=[ExactResume(), StopAt(stop_at, tmp_path / "stop.ckpt")])
    resumed = MODELS[name]()
    lightning.seed_everything(99, verbose=False)
    data = array_data(digits(), 70, num_validation=50)
    again = fit(resumed, data, tmp_path / "stop.ckpt", max_epochs=EPOCHS, callbacks=[ExactResume()])
    assert again.global_step == trainer.global_step
    for (key, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    assert again.callback_metrics == trainer.callback_metrics


def test_it_stops_when_the_change_is_small():
    model = KMeans([64], 3, tolerance=1e-3)
    lightning.seed_everything(0, verbose=False)
    trainer = fit(model, array_data(digits()), max_epochs=200)
    assert 1 < trainer.current_epoch < 200
    assert trainer.callback_metrics["train/change"].item() <= 1e-3


def test_a_fit_that_is_exact_takes_one_epoch():
    model = PCA([64], 3)
    assert fit(model, array_data(digits()), max_epochs=5).current_epoch == 1
    assert model.num_refits == 1


def test_validation_scores_the_parameters_of_the_epochs_end():
    model, trainer = trained("kmeans", 64)
    x = digits()[:50]
    expected = (x - model.reconstruct(x)).square().sum(1).mean().item()
    assert trainer.callback_metrics["val/squared_distance"].item() == pytest.approx(expected, rel=1e-6)


def test_another_seed_gives_another_start_and_the_same_seed_the_same():
    def start(seed: int) -> torch.Tensor:
        lightning.seed_everything(seed, verbose=False)
        model = KMeans([64], 5, start="random")
        fit(model, array_data(digits()), max_epochs=1)
        return model.starts

    assert torch.equal(start(0), start(0))
    assert not torch.equal(start(0), start(1))


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_lower_precision_is_refused(precision):
    with pytest.raises(ValueError, match=f"trainer.precision={precision}: expected 32-true"):
        fit(MODELS["pca"](), array_data(digits()), precision=precision)


def test_a_streaming_model_has_no_weights_for_a_gradient():
    for name in MODELS:
        assert not list(MODELS[name]().parameters())


def test_the_configs_bring_large_batches_and_many_epochs_which_can_be_changed():
    assert config("model=kmeans")["data"]["batch_size"] == 8192
    assert config("model=kmeans")["trainer"]["max_epochs"] == 300
    assert config("model=kmeans", "data.batch_size=7", "trainer.max_epochs=3")["data"]["batch_size"] == 7
    assert config("model=vae")["trainer"]["max_epochs"] == 30
    model, data = build("model=pca", "data=mnist", "data.batch_size=7")
    assert data.batch_size == 7
    assert model.latent_dim == 32
