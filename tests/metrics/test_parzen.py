"""The Parzen-window estimate against the formula, scikit-learn and quadrature."""

import math

import pytest
import torch
from sklearn.neighbors import KernelDensity
from support import normal

import pmodel.metrics.parzen
from pmodel.metrics.parzen import choose_sigma, parzen_log_prob


def test_log_prob_is_the_mean_of_the_kernels():
    x, samples = torch.tensor([[0.5]]), torch.tensor([[0.0], [2.0]])
    kernels = [math.exp(-0.5 * (d / 0.7) ** 2) / math.sqrt(2 * math.pi * 0.7**2) for d in (0.5, 1.5)]
    assert parzen_log_prob(x, samples, 0.7).item() == pytest.approx(math.log(sum(kernels) / 2), rel=1e-12)


@pytest.mark.parametrize("sigma", [0.1, 0.8])
def test_log_prob_of_images_far_from_zero_matches_sklearn_whatever_the_chunks(sigma, monkeypatch):
    monkeypatch.setattr(pmodel.metrics.parzen, "CHUNK", 100)
    x, samples = 100 + 0.3 * normal(17, 1, 8, 8), 100 + 0.3 * normal(30, 1, 8, 8, seed=1)
    oracle = KernelDensity(bandwidth=sigma).fit(samples.flatten(1).double().numpy())
    expected = torch.from_numpy(oracle.score_samples(x.flatten(1).double().numpy()))
    found = parzen_log_prob(x, samples, sigma)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_density_integrates_to_one():
    axis = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    density = parzen_log_prob(axis, normal(50, 1), 0.3).exp()
    assert torch.trapezoid(density, axis[:, 0]).item() == pytest.approx(1, abs=1e-10)


def test_the_bandwidth_with_the_highest_mean_on_validation_is_chosen():
    x, samples = normal(200, 5), normal(300, 5, seed=1)
    sigmas = torch.logspace(-1, 0, 10)
    means = [parzen_log_prob(x, samples, sigma).mean().item() for sigma in sigmas.tolist()]
    best = means.index(max(means))
    assert 0 < best < 9
    assert choose_sigma(x, samples) == pytest.approx(sigmas[best].item())
    assert means[9] > means[0]
    assert choose_sigma(x, samples, sigmas[[0, 9]]) == pytest.approx(1)


def test_a_true_gaussian_is_found_to_within_its_blur():
    """In the limit of many samples the density is N(0, 1 + σ²)."""
    x = torch.tensor([[0.0], [1.0], [2.0]])
    expected = torch.distributions.Normal(0.0, math.sqrt(1.25)).log_prob(x[:, 0]).double()
    torch.testing.assert_close(parzen_log_prob(x, normal(100_000, 1), 0.5), expected, rtol=0, atol=0.02)


def test_a_bandwidth_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"sigmas=\[0\.0\]: expected numbers above 0"):
        parzen_log_prob(torch.zeros(1, 1), torch.zeros(1, 1), 0.0)
