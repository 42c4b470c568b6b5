"""Precision, recall, density and coverage against loops, torch-fidelity and closed forms."""

import math

import numpy as np
import pytest
import torch
from support import normal
from torch_fidelity.metric_prc import prc_features_to_metric

import pmodel.metrics.manifolds
from pmodel.metrics.manifolds import density_coverage, precision_recall


def lattice(N, D, seed=0):
    """Whole numbers of few values: with duplicates, and many equal distances, which are exact."""
    return torch.randint(4, (N, D), generator=torch.Generator().manual_seed(seed)).float()


def radii(centres, k):
    return [
        sorted(math.dist(c, other) for j, other in enumerate(centres) if j != i)[k - 1] for i, c in enumerate(centres)
    ]


def loops(real, fake, k):
    """Precision, recall, density, coverage, distance by distance."""
    real, fake = real.double().tolist(), fake.double().tolist()
    in_real = [[math.dist(f, c) <= r for c, r in zip(real, radii(real, k), strict=True)] for f in fake]
    in_fake = [[math.dist(x, c) <= r for c, r in zip(fake, radii(fake, k), strict=True)] for x in real]
    return (
        sum(map(any, in_real)) / len(fake),
        sum(map(any, in_fake)) / len(real),
        sum(map(sum, in_real)) / (k * len(fake)),
        sum(map(any, zip(*in_real, strict=True))) / len(real),
    )


def scores(real, fake, k):
    return (*precision_recall(real, fake, k), *density_coverage(real, fake, k))


@pytest.fixture(params=[None, 200, 1], ids=["whole", "blocks", "rows"])
def blocks(request, monkeypatch):
    if request.param is not None:
        monkeypatch.setattr(pmodel.metrics.manifolds, "BLOCK", request.param)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("N", "M", "D"), [(40, 40, 2), (25, 60, 6), (60, 25, 3)])
def test_scores_are_those_of_loops_whatever_the_blocks(N, M, D, k, blocks):
    real, fake = normal(N, D), 0.8 * normal(M, D, seed=1) + 0.6
    expected = loops(real, fake, k)
    assert scores(real, fake, k) == pytest.approx(expected, rel=1e-14)
    assert min(expected) > 0
    assert min(expected) < 1


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("N", "M", "D"), [(30, 30, 3), (20, 70, 3), (50, 20, 4)])
def test_duplicates_and_equal_distances_count_as_in_loops_wherever_they_are(N, M, D, k, offset, blocks):
    real, fake = lattice(N, D) + offset, lattice(M, D, seed=1) + offset
    assert len(real.unique(dim=0)) < N
    assert scores(real, fake, k) == pytest.approx(loops(real, fake, k), rel=1e-14)


@pytest.mark.parametrize("k", [1, 4])
def test_precision_and_recall_are_torch_fidelitys(k):
    real, fake = normal(200, 8), 0.7 * normal(150, 8, seed=1) + 0.3
    theirs = prc_features_to_metric(
        fake.double(), real.double(), prc_neighborhood=k, prc_batch_size=1000, save_cpu_ram=False, verbose=False
    )
    precision, recall = precision_recall(real, fake, k)
    assert (precision, recall) == pytest.approx((theirs["precision"], theirs["recall"]), rel=1e-6)
    assert precision > recall > 0


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("D", [2, 64, 784])
def test_copies_of_all_have_the_neighbours_on_the_border_of_their_balls(D, scale, blocks):
    """Each copy is in its own ball and those whose k nearest it is among: (k + 1) N in all, by exact equality."""
    real = scale * normal(60, D) + 3 * scale
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert scores(real, real[order], 4) == pytest.approx((1, 1, 5 / 4, 1), rel=1e-14)


def test_distances_far_below_the_rounding_of_products_are_told_apart():
    """Two groups 1e7 apart, 1e-3 wide: their squared distances are 1e-20 of the squares they are sums of."""
    real, fake = normal(30, 2).double(), normal(40, 2, seed=1).double() + 0.8
    far = torch.tensor([1e7, -1e7], dtype=torch.float64)
    # In powers of two, so that the offset costs no digit.
    both = [torch.cat([part * 2**-10 + sign * far for sign in (-1, 1)]) for part in (real, fake)]
    both = [(part * 2**20).round() / 2**20 for part in both]
    assert precision_recall(*both, 3) == pytest.approx(loops(*both, 3)[:2], rel=1e-14)
    assert density_coverage(*both, 3) == pytest.approx(loops(*both, 3)[2:], rel=1e-14)


def test_more_duplicates_than_neighbours_have_balls_of_no_width():
    real = torch.cat([torch.zeros(30, 3), normal(1, 3)])
    assert density_coverage(real, torch.zeros(2, 3), 2) == pytest.approx((31 / 2, 1))
    assert density_coverage(real[:30], torch.full((2, 3), 1e-9), 2) == (0, 0)
    assert precision_recall(real[:30] + 0.1, real[:30] + 0.1, 2) == (1, 1)


def test_an_example_that_strays_does_not_blur_the_others():
    real, fake = normal(30, 4), normal(30, 4, seed=1)
    fake[7] = 1e9
    assert scores(real, fake, 3) == pytest.approx(loops(real, fake, 3), rel=1e-14)
    real[3] = -1e9
    assert scores(real, fake, 3) == pytest.approx(loops(real, fake, 3), rel=1e-14)


def test_sets_of_one_distribution_have_the_density_and_coverage_of_the_paper():
    """Density 1; coverage 1 − (N − 1)⋯(N − k) / ((2N − 1)⋯(2N − k)), on average over sets of N and N examples."""
    N, k, runs = 30, 3, 300
    values = np.array(
        [density_coverage(normal(N, 3, seed=2 * s), normal(N, 3, seed=2 * s + 1), k) for s in range(runs)]
    )
    expected = 1, 1 - math.prod((N - i) / (2 * N - i) for i in range(1, k + 1))
    error = values.std(0) / math.sqrt(runs)
    assert (abs(values.mean(0) - expected) < 4 * error).all()
    assert error.max() < 0.01


def test_a_collapsed_model_is_precise_without_recall_and_covers_little():
    real = normal(200, 2)
    fake = 0.01 * normal(200, 2, seed=1)
    precision, recall = precision_recall(real, fake)
    assert (precision, recall) == (1, pytest.approx(0, abs=0.01))
    assert density_coverage(real, fake)[1] < 0.2


def test_what_has_no_balls_gives_nan():
    x = normal(4, 2)
    assert not any(map(math.isnan, precision_recall(x, x, 3)))
    assert all(map(math.isnan, precision_recall(x[:3], x, 3)))
    assert all(map(math.isnan, precision_recall(x, x[:3], 3)))
    assert all(map(math.isnan, density_coverage(x[:3], x, 3)))
    assert all(map(math.isnan, density_coverage(x, x[:0], 3)))
    assert not any(map(math.isnan, density_coverage(x, x[:1], 3)))
    for bad in (math.nan, math.inf):
        broken = x.clone()
        broken[1, 1] = bad
        assert all(map(math.isnan, (*precision_recall(broken, x, 1), *precision_recall(x, broken, 1))))
        assert all(map(math.isnan, (*density_coverage(broken, x, 1), *density_coverage(x, broken, 1))))


@pytest.mark.parametrize("score", [precision_recall, density_coverage])
def test_no_neighbour_is_refused(score):
    with pytest.raises(ValueError, match="k=0: expected at least 1"):
        score(normal(9, 2), normal(9, 2), 0)
