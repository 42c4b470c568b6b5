"""Kernel distances against loops, torch-fidelity and closed forms."""

import math

import numpy as np
import pytest
import torch
from support import normal
from torch_fidelity.metric_kid import kid_features_to_metric

import pmodel.metrics.kernel
from pmodel.metrics.kernel import kernel_distance, median_distance, mmd

BLOCKS = pytest.mark.parametrize("block", [2**22, 100, 1])


def loops(x, y, kernel):
    """The unbiased estimate, pair by pair."""
    x, y = x.tolist(), y.tolist()
    within = [
        math.fsum(kernel(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j) / (len(a) * (len(a) - 1))
        for a in (x, y)
    ]
    return sum(within) - 2 * math.fsum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))


def cubic(a, b):
    return (sum(s * t for s, t in zip(a, b, strict=True)) / len(a) + 1) ** 3


@BLOCKS
@pytest.mark.parametrize(("N", "M"), [(23, 31), (31, 23), (2, 2)])
def test_kernel_distance_is_that_of_loops_over_all_pairs_whatever_the_blocks(N, M, block, monkeypatch):
    monkeypatch.setattr(pmodel.metrics.kernel, "BLOCK", block)
    x, y = normal(N, 5), 1.3 * normal(M, 5, seed=1) + 0.5
    assert kernel_distance(x, y).value == pytest.approx(loops(x, y, cubic), rel=1e-12)


def test_kernel_distance_is_torch_fidelitys_on_one_subset_of_all():
    x, y = normal(60, 7), 2 * normal(60, 7, seed=1)
    theirs = kid_features_to_metric(
        x.double(), y.double(), kid_subsets=1, kid_subset_size=60, kid_kernel="poly", verbose=False
    )
    assert kernel_distance(x, y).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-12)


def test_kernel_distance_of_one_distribution_is_zero_on_average_and_below_it_at_times():
    values = [kernel_distance(normal(20, 3, seed=2 * s), normal(15, 3, seed=2 * s + 1)).value for s in range(300)]
    mean, error = np.mean(values), np.std(values) / math.sqrt(300)
    assert abs(mean) < 4 * error
    assert min(values) < 0 < max(values)


def gaussian(sigma):
    return lambda a, b: math.exp(-(math.dist(a, b) ** 2) / (2 * sigma**2))


@BLOCKS
@pytest.mark.parametrize("bandwidth", [0.3, 2.0])
def test_mmd_is_that_of_loops_also_far_from_zero_whatever_the_blocks(bandwidth, block, monkeypatch):
    monkeypatch.setattr(pmodel.metrics.kernel, "BLOCK", block)
    x, y = normal(17, 3) + 1000, 1.5 * normal(29, 3, seed=1) + 1000
    assert mmd(x, y, bandwidth).value == pytest.approx(loops(x, y, gaussian(bandwidth)), rel=1e-8)


@pytest.mark.parametrize("M", [4, 29])
def test_bandwidth_is_by_default_the_median_distance_of_pairs_of_the_reference(M):
    x, y = normal(17, 3), 1.5 * normal(M, 3, seed=1)
    median = float(np.median([math.dist(a, b) for i, a in enumerate(y.tolist()) for b in y.tolist()[:i]]))
    assert median_distance(y) == pytest.approx(median, rel=1e-12)
    assert mmd(x, y).value == pytest.approx(loops(x, y, gaussian(median)), rel=1e-10)
    assert mmd(100 * x, y).value == pytest.approx(loops(100 * x, y, gaussian(median)), rel=1e-10)


def test_median_of_many_is_that_of_some_that_are_the_same_each_time():
    y = torch.cat([normal(4000, 2), 0.01 * normal(4000, 2, seed=1)])
    whole = torch.nn.functional.pdist(y.double()).median().item()
    assert median_distance(y) == pytest.approx(whole, rel=0.1)
    assert median_distance(y) == median_distance(y.clone()) != whole


def test_mmd_of_gaussians_is_the_closed_form():
    """E exp(−d²/2σ²) for d ~ N(m, s²) is (1 + s²/σ²)^−½ exp(−m² / 2(σ² + s²))."""
    N, shift, sigma = 4000, 1.0, 0.8
    spread = sigma**2 + 2
    expected = 2 * sigma / math.sqrt(spread) * (1 - math.exp(-(shift**2) / (2 * spread)))
    assert mmd(normal(N, 1), normal(N, 1, seed=1) + shift, sigma).value == pytest.approx(expected, rel=0.1)


def test_single_points_apart_have_the_largest_mmd_and_a_copy_of_the_reference_none_but_the_bias():
    x, y = torch.zeros(5, 2), normal(50, 2)
    assert mmd(x, torch.full((6, 2), 1e3), 1.0).value == pytest.approx(2, rel=1e-12)
    # Of a set with itself the cross term holds the diagonal: −2 (1 − mean k) / N.
    mean = (loops(y, y, gaussian(1.0)) * 50 / -2 - 1) * -1
    assert mmd(y, y, 1.0).value == pytest.approx(-2 * (1 - mean) / 50, rel=1e-9)
    assert mmd(y, y, 1.0).value < 0


@pytest.mark.parametrize("distance", [kernel_distance, mmd])
def test_what_has_no_distance_gives_nan(distance):
    x = normal(10, 3)
    assert math.isfinite(distance(x[:2], x[2:]).value)
    assert math.isnan(distance(x[:1], x).value)
    assert math.isnan(distance(x, x[:1]).value)
    assert math.isnan(distance(x[:0], x).value)
    for bad in (math.nan, math.inf):
        broken = x.clone()
        broken[4, 1] = bad
        assert math.isnan(distance(broken, x).value)
        assert math.isnan(distance(x, broken).value)


def test_reference_points_that_are_mostly_one_have_no_bandwidth_of_their_own():
    y = torch.cat([torch.zeros(9, 2), normal(1, 2)])
    assert math.isnan(mmd(normal(10, 2), y).value)
    assert math.isfinite(mmd(normal(10, 2), y, 1.0).value)


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, math.nan])
def test_a_bandwidth_that_is_not_above_zero_is_refused(bandwidth):
    with pytest.raises(ValueError, match=f"bandwidth={bandwidth}: expected a number above 0"):
        mmd(normal(5, 2), normal(5, 2), bandwidth)
