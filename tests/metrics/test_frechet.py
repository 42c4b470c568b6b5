"""The Fréchet distance of Gaussians against closed forms and SciPy's matrix root."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from pmodel.metrics.frechet import Moments, frechet_distance


def moments(mean, covariance, count=100):
    return Moments(torch.as_tensor(mean).double(), torch.as_tensor(covariance).double() * (count - 1), count)


def random_moments(seed, D, rank):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(D, rank))
    return moments(rng.normal(size=D), factor @ factor.T)


def test_on_the_line_it_is_the_squared_difference_of_means_and_of_deviations():
    assert frechet_distance(moments([1.0], [[4.0]]), moments([-2.0], [[0.25]])) == pytest.approx(3**2 + 1.5**2)


@pytest.mark.parametrize("seed", range(20))
def test_with_commuting_covariances_it_adds_up_over_the_common_axes(seed):
    """Along some of these axes the eigenvalue 0 comes out as 1e-17 or so, on any processor."""
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    a, b = np.array([4.0, 1.0, 0.0]), np.array([1.0, 9.0, 2.0])
    expected = 14 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    left, right = (moments(m, axes * v @ axes.T) for m, v in (([1.0, 2.0, 3.0], a), ([0.0, 0.0, 0.0], b)))
    assert frechet_distance(left, right) == pytest.approx(expected, rel=1e-12)


def test_with_covariances_that_do_not_commute_it_matches_scipys_root_of_their_product():
    a, b = random_moments(1, 6, 8), random_moments(2, 6, 9)
    root = scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy()).real
    shift = (a.mean - b.mean).numpy()
    expected = shift @ shift + np.trace(a.covariance.numpy() + b.covariance.numpy() - 2 * root)
    assert not torch.allclose(a.covariance @ b.covariance, b.covariance @ a.covariance)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-10)


def test_singular_covariances_are_no_obstacle():
    """A distance to itself is 0, and noise of variance ε is what it is in the limit of ε → 0."""
    a, b = random_moments(3, 20, 4), random_moments(4, 20, 5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
    blurred = [moments(m.mean, m.covariance + 1e-14 * torch.eye(20)) for m in (a, b)]
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(*blurred), rel=1e-5)
    point = moments([0.0] * 20, np.zeros((20, 20)))
    assert frechet_distance(a, point) == pytest.approx((a.mean.square().sum() + a.covariance.trace()).item())


def test_moments_are_numpys_mean_and_unbiased_covariance_also_far_from_zero():
    x = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 1e4
    found = Moments.of(x)
    np.testing.assert_allclose(found.mean, x.numpy().mean(0), rtol=1e-14)  # 200 additions, in an order of their own
    np.testing.assert_allclose(found.covariance, np.cov(x.numpy(), rowvar=False), rtol=1e-11)
    assert found.count == 200


def test_moments_of_parts_are_those_of_the_whole():
    x = torch.randn(157, 4, generator=torch.Generator().manual_seed(0)).exp() + 100
    whole, parts = Moments.of(x), Moments.of(iter(x.split([50, 1, 6, 100])))
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(parts.covariance, whole.covariance, rtol=1e-12, atol=1e-13)
    assert parts.count == 157


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_features_that_are_not_finite_give_nan(bad):
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    broken = x.clone()
    broken[4, 1] = bad
    assert math.isnan(frechet_distance(Moments.of(broken), Moments.of(x)))
    assert math.isnan(frechet_distance(Moments.of(x[:1]), Moments.of(x)))
