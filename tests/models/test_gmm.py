"""Gaussian mixtures: EM against scikit-learn's, and densities that integrate to one."""

import math
import warnings
from itertools import pairwise

import lightning
import pytest
import torch
from built import GMM, Gaussian, Likelihood
from lightning.pytorch.callbacks import LambdaCallback
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from support import array_data, build, fit

from pmodel.data import mixtures
from pmodel.distributions import gaussians
from pmodel.evaluation.nats import DECIDED, STOPPED
from pmodel.evaluation.subject import Subject

ORACLE = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


def blobs(n: int = 600) -> torch.Tensor:
    """Three correlated, overlapping Gaussians in four dimensions."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, 4, dtype=torch.float64, generator=generator)
    mixing = torch.randn(3, 4, 4, dtype=torch.float64, generator=generator)
    means = 3 * torch.randn(3, 4, dtype=torch.float64, generator=generator)
    label = torch.arange(n) % 3
    return means[label] + torch.einsum("nij,nj->ni", mixing[label], noise)


def started(x: torch.Tensor, covariance_type: str, reg_covar: float = 1e-6, num_components: int = 3, **settings) -> GMM:
    """A model with a start of its own: far from an optimum, with different weights and covariances."""
    model = GMM([x.shape[1]], num_components, covariance_type, reg_covar=reg_covar, **settings)
    label = torch.arange(len(x)) * num_components // len(x)
    members = torch.nn.functional.one_hot(label, num_components).double() + 0.05
    members /= members.sum(1, keepdim=True)
    model.gaussians.means.copy_(x.mean(0).expand(num_components, -1))
    model.gaussians.maximize(model.gaussians.moments(x, members), 0.1)
    model.weights.copy_(torch.arange(1, num_components + 1).double() / sum(range(1, num_components + 1)))
    model.initialized.fill_(True)
    return model


def covariances_like_scikit_learn(model: GMM) -> torch.Tensor:
    scales = model.gaussians.scales
    full = scales @ scales.mT if model.gaussians.triangular else scales.square()
    return {"tied": lambda: full[0], "spherical": lambda: full[:, 0]}.get(
        model.gaussians.covariance_type, lambda: full
    )()


@pytest.mark.parametrize("covariance_type", ORACLE)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("steps", [1, 5])
def test_em_steps_match_scikit_learn(covariance_type, offset, steps):
    x = blobs()
    # scikit-learn's regularizer is absolute.
    model = started(x, covariance_type, reg_covar=0.0, tolerance=0.0)
    oracle = GaussianMixture(
        3,
        covariance_type=ORACLE[covariance_type],
        tol=0.0,
        max_iter=steps,
        reg_covar=0.0,
        weights_init=model.weights.numpy(),
        means_init=model.gaussians.means.numpy(),
        precisions_init=torch.linalg.inv(covariances_like_scikit_learn(model)).numpy()
        if model.gaussians.triangular
        else (1 / covariances_like_scikit_learn(model)).numpy(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        oracle.fit(x.numpy())
    model.gaussians.means += offset
    trainer = fit(model, array_data(x + offset), max_epochs=steps)
    assert trainer.current_epoch == steps
    close = {"rtol": 1e-8, "atol": 1e-8}
    torch.testing.assert_close(model.weights, torch.from_numpy(oracle.weights_), **close)
    torch.testing.assert_close(model.gaussians.means - offset, torch.from_numpy(oracle.means_), **close)
    torch.testing.assert_close(covariances_like_scikit_learn(model), torch.from_numpy(oracle.covariances_), **close)
    torch.testing.assert_close(model.log_prob(x + offset), torch.from_numpy(oracle.score_samples(x.numpy())), **close)
    torch.testing.assert_close(model.encode(x + offset), torch.from_numpy(oracle.predict_proba(x.numpy())), **close)
    assert torch.equal(model.assign(x + offset), torch.from_numpy(oracle.predict(x.numpy())))


@pytest.mark.parametrize("covariance_type", ORACLE)
def test_the_log_likelihood_never_falls(covariance_type):
    x = blobs()
    values = []

    watch = LambdaCallback(
        on_train_epoch_end=lambda trainer, model: values.append(-trainer.callback_metrics["train/nll"].item())
    )
    fit(
        started(x, covariance_type, reg_covar=0.0, tolerance=0.0),
        array_data(x),
        max_epochs=30,
        callbacks=[watch],
    )
    assert len(values) == 30
    assert values[-1] > values[0] + 1e-4
    # callback_metrics are float32.
    assert all(b >= a - 2e-6 for a, b in pairwise(values))


@pytest.mark.parametrize("covariance_type", ORACLE)
def test_the_density_integrates_to_one_over_the_plane(covariance_type):
    x = blobs()[:, :2]
    model = started(x, covariance_type)
    axis = torch.linspace(-25, 25, 600, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    total = model.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("start", ["kmeans", "random"])
def test_it_recovers_the_mixture_that_the_points_are_drawn_from(start):
    truth = mixtures.mixture_1d()
    x, _ = truth.sample(20_000, torch.Generator().manual_seed(0))
    lightning.seed_everything(0, verbose=False)
    model = GMM([1], 3, start=start, tolerance=1e-6)
    fit(model, array_data(x, batch_size=4096), max_epochs=500)
    nll = -model.log_prob(x).mean().item()
    assert nll == pytest.approx(-truth.log_prob(x).mean().item(), abs=2e-3)
    order = model.gaussians.means[:, 0].argsort()
    torch.testing.assert_close(model.gaussians.means[order, 0], torch.tensor([-2, 0.5, 2.5]).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(model.weights[order], torch.tensor([0.3, 0.5, 0.2]).double(), atol=0.03, rtol=0)


def test_draws_follow_the_weights_means_and_covariances():
    x = blobs()
    model = started(x, "full")
    draws = model.sample(100_000, generator=torch.Generator().manual_seed(0)).double()
    weights, means, covariances = model.gaussian_components()
    mean = weights @ means
    second = covariances + means[:, :, None] * means[:, None, :]
    covariance = torch.einsum("k,kij->ij", weights, second) - torch.outer(mean, mean)
    scale = covariance.diagonal().max().sqrt()
    torch.testing.assert_close(draws.mean(0), mean, atol=0.02 * scale.item(), rtol=0)
    torch.testing.assert_close(draws.T.cov(), covariance, atol=0.03 * scale.item() ** 2, rtol=0)


@pytest.mark.parametrize("covariance_type", ORACLE)
def test_small_blocks_of_points_give_the_same_sums(covariance_type, monkeypatch):
    x = blobs()
    model = started(x, covariance_type)
    whole = model.statistics(x)
    monkeypatch.setattr(gaussians, "CHUNK", 1)
    for name, value in model.statistics(x).items():
        torch.testing.assert_close(value, whole[name], rtol=1e-10, atol=1e-9)


def test_a_component_that_loses_all_points_stays_where_it_was():
    x = blobs()
    model = started(x, "full")
    model.gaussians.means[0] = 1e6
    fit(model, array_data(x), max_epochs=1)
    assert model.weights[0] == 0
    assert model.log_prob(x).isfinite().all()
    assert (model.gaussians.means[0] == 1e6).all()


@pytest.mark.parametrize("covariance_type", ORACLE)
def test_in_other_units_it_is_the_same_density(covariance_type):
    """Units of each dimension's own; a spherical covariance knows one for all."""
    x = blobs()
    units = torch.tensor([1e-4, 1e5, 1.0, 1e9] if covariance_type != "spherical" else [1e-4] * 4).double()
    plain = started(x, covariance_type)
    fit(plain, array_data(x), max_epochs=5)
    torch.testing.assert_close(plain.gaussians.regularizer, 1e-6 * x.var(0, correction=0))
    scaled = started(x * units, covariance_type)
    fit(scaled, array_data(x * units), max_epochs=5)
    torch.testing.assert_close(scaled.log_prob(x * units), plain.log_prob(x) - units.log().sum(), rtol=0, atol=1e-6)
    draws = [model.sample(9, generator=torch.Generator().manual_seed(0)) for model in (plain, scaled)]
    torch.testing.assert_close(draws[1], (draws[0].double() * units).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("start", ["kmeans", "random"])
def test_starts_of_points_know_no_units(start):
    x = blobs()
    units = torch.tensor([1e-4, 1e5, 1.0, 1e9]).double()
    values = []
    for scale in (torch.ones(4), units):
        model = GMM([4], 3, start=start, num_starts=1)
        model.initialize(x * scale, torch.Generator().manual_seed(0))
        values.append(model.log_prob(x * scale) + scale.log().sum())
    torch.testing.assert_close(*values, rtol=0, atol=1e-6)


def test_a_mixture_starts_from_the_best_of_its_runs():
    x = torch.rand(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def inertia(seed: int, num_starts: int) -> float:
        model = GMM([2], 7, num_starts=num_starts)
        model.initialize(x, torch.Generator().manual_seed(seed))
        unit = x.std(0, correction=0)  # k-means sees points of variance 1
        return torch.cdist(x / unit, model.gaussians.means / unit).amin(1).square().sum().item()

    # The first of five runs is the one that is alone.
    pairs = [(inertia(seed, 5), inertia(seed, 1)) for seed in range(3)]
    assert all(best <= first + 1e-9 for best, first in pairs)
    assert any(best < 0.99 * first for best, first in pairs)


@pytest.mark.parametrize("covariance_type", ORACLE)
def test_the_last_line_says_where_the_regularizer_decides(covariance_type):
    """All points of one of two components are equal: there, more and more nats with less and less regularizer."""
    x = torch.randn(60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[:20] = 5.0
    values = []
    for reg_covar in (1e-6, 1e-7):
        model = started(x, covariance_type, reg_covar, num_components=2, tolerance=1e-9)
        model.gaussians.means.copy_(torch.stack([x[0], x[20:].mean(0)]))
        fit(model, array_data(x), max_epochs=100)
        values.append(model.log_prob(x).mean().item())
    if covariance_type == "tied":
        assert model.regularized_nats() == 0
        assert "reg_covar" not in model.ending
        return
    # A third of the points, in four directions.
    assert model.regularized_nats() == pytest.approx(values[1] - values[0], rel=1e-3)
    assert model.regularized_nats() == pytest.approx(0.5 * math.log(10) * 4 / 3, rel=1e-3)
    assert "model.reg_covar=1e-07 decides the density, not the data: it makes up most of the variance" in model.ending
    assert "in 1.33 of 4 directions, and a tenth of it would add about 1.54 nats" in model.ending


@pytest.mark.parametrize("covariance_type", ORACLE)
def test_bic_and_aic_are_scikit_learns_of_the_same_parameters(covariance_type):
    x = blobs()
    model = started(x, covariance_type, tolerance=1e-2)
    data = array_data(x, num_validation=50)
    fit(model, data, max_epochs=100)
    oracle = GaussianMixture(3, covariance_type=ORACLE[covariance_type])
    oracle.weights_, oracle.means_ = model.weights.numpy(), model.gaussians.means.numpy()
    covariances = covariances_like_scikit_learn(model)
    root = covariances.rsqrt()
    if model.gaussians.triangular:
        root = torch.linalg.cholesky(torch.linalg.inv(covariances))
    oracle.precisions_cholesky_ = root.numpy()
    found = {n["name"]: n for n in Likelihood().ask(Subject(model, data, "validation")) if isinstance(n, dict)}
    for name, expected in (("bic", oracle.bic(x.numpy())), ("aic", oracle.aic(x.numpy()))):
        number = found[name]
        assert number["value"] == pytest.approx(expected, rel=1e-9)
        assert (number["split"], number["count"], number["better"]) == ("train", 600, "lower")
        assert number["protocol"]["num_parameters"] == model.num_parameters
        assert number["protocol"]["converged"]
        assert "caveats" not in number


def test_parameters_of_before_convergence_are_said_beside_numbers_of_the_training_examples():
    x = blobs()
    model, data = started(x, "full"), array_data(x, num_validation=50)
    fit(model, data, max_epochs=2)
    for split, said in (("validation", {"bic", "aic"}), ("train", {"bic", "aic", "negative_log_density"})):
        found = [n for n in Likelihood().ask(Subject(model, data, split)) if isinstance(n, dict)]
        assert {n["name"] for n in found if n.get("caveats") == [STOPPED]} == said


def test_a_density_that_the_regularizer_decides_is_no_quality_of_the_model():
    x = torch.randn(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.cat([x, x[:, :1]], 1)
    for dims, caveats in ((3, [DECIDED]), (2, None)):
        model, data = Gaussian([dims]), array_data(x[:, :dims], num_validation=50)
        fit(model, data, max_epochs=3)
        found = [n for n in Likelihood().ask(Subject(model, data, "validation")) if isinstance(n, dict)]
        assert [n.get("caveats") for n in found] == [caveats] * 3
        assert [n["protocol"].get("regularized_nats") for n in found] == [caveats and 0.5 * math.log(10)] * 3


@pytest.mark.parametrize("covariance_type", ["full", "diagonal"])
def test_a_covariance_without_an_inverse_is_named(covariance_type):
    x = torch.randn(50, 1, dtype=torch.float64).expand(50, 2) * torch.tensor([1.0, 0.0])
    with pytest.raises(ValueError, match=r"model\.reg_covar=0\.0: the covariance of component \d has no inverse"):
        fit(GMM([2], 2, covariance_type, reg_covar=0.0), array_data(x))


def test_the_number_of_parameters_is_that_of_the_free_ones():
    counts = {name: GMM([4], 3, name).num_parameters for name in ORACLE}
    assert counts == {"full": 2 + 12 + 30, "tied": 2 + 12 + 10, "diagonal": 2 + 12 + 12, "spherical": 2 + 12 + 3}


def test_ring_of_eight_is_found_to_a_hundredth_of_a_nat():
    lightning.seed_everything(0, verbose=False)
    model, data = build("model=gmm", "data=points", "model.num_components=8")
    fit(model, data, max_epochs=100)
    x = data.examples("validation", 2000).x
    assert (data.log_prob(x).mean() - model.log_prob(x).mean()).item() < 0.01
    assert math.isclose(model.weights.min().item(), 1 / 8, abs_tol=0.01)
