"""Modes of the toy mixtures, as samples reach them."""

import math

import torch

from pmodel.data.mixtures import GaussianMixture, grid, ring
from pmodel.metrics.modes import mode_scores


def scores(mixture, samples):
    return mode_scores(samples, *(torch.tensor(part) for part in (mixture.means, mixture.stds, mixture.weights)))


def test_true_samples_cover_all_modes_and_lie_at_them_as_the_chi_square_distribution_says():
    for mixture in (ring(), grid()):
        x, _ = mixture.sample(20_000, torch.Generator().manual_seed(0))
        covered, num_modes, high_quality, *_ = scores(mixture, x)
        assert covered == num_modes == len(mixture.means)
        expected = 1 - math.exp(-(3**2) / 2)
        assert abs(high_quality - expected) < 4 * math.sqrt(expected * (1 - expected) / 20_000)


def test_one_mode_or_one_blob_covers_what_it_covers():
    one = torch.tensor(ring().means[:1]).repeat(1000, 1)
    assert scores(ring(), one)[:3] == (1, 8, 1.0)
    blob = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    assert scores(ring(), blob).covered == 0
    assert scores(ring(), blob).high_quality < 0.02


def test_a_mode_needs_a_tenth_of_its_share():
    """Weights 0.8 and 0.2 of 1000 samples: 80 and 20 of high quality are enough, one less is not."""
    mixture = GaussianMixture([0.8, 0.2], [[0.0], [10.0]], [1.0, 1.0])
    for first, second, covered in ((80, 20, 2), (79, 20, 1), (80, 19, 1), (79, 19, 0)):
        x = torch.full((1000, 1), 5.0)
        x[:first], x[-second:] = 0.0, 10.0
        found = scores(mixture, x)
        assert found.covered == covered
        assert found.high_quality == (first + second) / 1000


def test_three_deviations_are_within():
    scores = mode_scores(torch.tensor([[3.0], [3.001]]), torch.zeros(1, 1), torch.ones(1), torch.ones(1))
    assert scores.high_quality == 0.5


def test_nearness_is_in_units_of_each_modes_own_deviation():
    """2.5 is 0.5 from the narrow mode, that is 5 of its deviations, and 2.5 from the wide one, that is 2.5."""
    mixture = GaussianMixture([0.5, 0.5], [[0.0], [3.0]], [1.0, 0.1])
    assert scores(mixture, torch.tensor([[2.5]]))[:3] == (1, 2, 1.0)


def test_a_mode_without_a_sample_is_not_covered_however_small_its_share():
    mixture = GaussianMixture([1.0, 0.0], [[0.0], [10.0]], [1.0, 1.0])
    assert scores(mixture, torch.zeros(5, 1)).covered == 1


def test_samples_that_are_not_finite_are_at_no_mode():
    x = torch.tensor([[2.0, 0.0], [math.nan, 0.0], [math.inf, 0.0]])
    assert scores(ring(), x)[:3] == (1, 8, 1 / 3)
