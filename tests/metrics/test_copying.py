"""The statistic of copying against all pairs and SciPy's Mann-Whitney U."""

import math

import pytest
import torch
from scipy.stats import mannwhitneyu

from pmodel.metrics.copying import copying


def loops(samples, test):
    wins = sum((s < t) + (s == t) / 2 for s in samples.tolist() for t in test.tolist())
    return wins / (len(samples) * len(test))


def distances(N, seed, step=None):
    values = torch.rand(N, generator=torch.Generator().manual_seed(seed))
    return values if step is None else (values / step).floor() * step


@pytest.mark.parametrize("step", [None, 0.1, 0.5])
def test_statistic_is_that_of_all_pairs_and_of_scipy_also_with_ties(step):
    samples, test = 0.8 * distances(37, 0, step), distances(52, 1, step)
    # Some of both are the same.
    samples[:5] = test[:5]
    found = copying(samples, test)[0]
    assert found == pytest.approx(loops(samples, test), rel=1e-14)
    assert found == pytest.approx(mannwhitneyu(test.numpy(), samples.numpy()).statistic / (37 * 52), rel=1e-14)
    assert copying(test, samples)[0] == pytest.approx(1 - found, rel=1e-14)
    assert found > 0.5


def test_copies_give_one_strays_zero_and_the_same_distances_a_half():
    test = 0.1 + distances(30, 0)
    assert copying(torch.zeros(20), test)[0] == 1
    assert copying(test + 2, test)[0] == 0
    assert copying(test.flip(0), test)[0] == 0.5
    assert copying(torch.zeros(20), torch.zeros(7))[0] == 0.5


def test_float64_distances_are_compared_without_rounding():
    test = torch.full((3,), 1.0)
    assert copying(torch.full((2,), 1 - 1e-12, dtype=torch.float64), test)[0] == 1
    assert copying(test, torch.full((2,), 1 - 1e-12, dtype=torch.float64))[0] == 0


def test_counts_beyond_what_float32_holds_are_exact():
    test = torch.arange(20_001.0)
    samples = torch.full((1000,), 7.5)
    samples[0] = 8.0
    # Above 7.5 are 19,993, above 8 are 19,992 and one is equal.
    assert copying(samples, test)[0] == (999 * 19_993 + 19_992.5) / (1000 * 20_001)


def test_what_has_no_distances_gives_nan():
    values = distances(5, 0)
    assert math.isnan(copying(values[:0], values)[0])
    assert math.isnan(copying(values, values[:0])[0])
    for bad in (math.nan, math.inf):
        assert math.isnan(copying(torch.tensor([0.1, bad]), values)[0])
        assert math.isnan(copying(values, torch.tensor([0.1, bad]))[0])
