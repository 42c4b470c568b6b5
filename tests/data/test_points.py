"""Toy densities against their formulas, and CSV files."""

import math

import pytest
import torch
from support import source

from pmodel.data.base import SPLITS
from pmodel.data.points import Points

DIMS = {"ring": 2, "moons": 2, "grid": 2, "blobs": 2, "mixture_1d": 1}


def build(name="ring", **settings) -> Points:
    return source("points", **{"name": name, "shape": [DIMS.get(name, 2)]} | settings)


@pytest.mark.parametrize("name", DIMS)
def test_splits_are_points_of_the_asked_sizes_and_differ(name):
    data = build(name, num_train=30, num_validation=20, num_test=10)
    splits = [data.examples(split, 1000) for split in SPLITS]
    assert [len(split.x) for split in splits] == [30, 20, 10]
    points = torch.cat([split.x for split in splits])
    assert points.dtype == torch.float32
    assert len(points.unique(dim=0)) == 60
    assert set(torch.cat([split.label for split in splits]).tolist()) <= set(range(data.num_classes))


@pytest.mark.parametrize("name", DIMS)
def test_config_knows_the_number_of_components(name):
    message = f"data.num_classes=99: expected {build(name).num_classes}, or null, with data=points"
    with pytest.raises(ValueError, match=message):
        build(name, num_classes=99).examples("train", 1)


def test_points_follow_the_split_seed_alone():
    first = build(seed=1).examples("train", 50).x
    assert torch.equal(first, build(seed=2, num_test=5).examples("train", 50).x)
    assert not torch.equal(first, build(split_seed=1).examples("train", 50).x)


@pytest.mark.parametrize("name", DIMS)
def test_true_density_integrates_to_one(name):
    data = build(name)
    # A step of one std is exact to 1e-8; the edge is at least 8 of them away from every mean.
    edge, step = {
        "ring": (2.2, 0.02),
        "grid": (4.5, 0.05),
        "blobs": (9.0, 0.1),
        "mixture_1d": (8.0, 0.2),
        "moons": (3.0, 0.1),
    }[name]
    line = torch.arange(-edge, edge, step, dtype=torch.float64)
    points = line[:, None] if name == "mixture_1d" else torch.cartesian_prod(line, line)
    total = data.log_prob(points).exp().sum() * step ** DIMS[name]
    assert total.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["ring", "grid", "blobs", "mixture_1d"])
def test_entropy_of_the_samples_is_that_of_separate_components(name):
    """For components that do not overlap, E[-log p] = H(weights) + E[D/2 log(2πe std²)]; overlap lowers it."""
    data = build(name, num_train=100_000)
    entropy = -data.log_prob(data.examples("train", 100_000).x).mean().item()
    weights, stds = {
        "ring": ([1 / 8] * 8, [0.02] * 8),
        "grid": ([1 / 25] * 25, [0.05] * 25),
        "blobs": ([0.25, 0.15, 0.3, 0.2, 0.1], [0.8, 0.4, 1.1, 0.6, 0.3]),
        "mixture_1d": ([0.3, 0.5, 0.2], [0.4, 0.8, 0.3]),
    }[name]
    dims = DIMS[name]
    separate = sum(
        w * (-math.log(w) + dims / 2 * math.log(2 * math.pi * math.e * std**2))
        for w, std in zip(weights, stds, strict=True)
    )
    if name in ("mixture_1d", "blobs"):
        assert separate - 0.3 < entropy < separate
    else:
        assert entropy == pytest.approx(separate, abs=5 * dims**0.5 / 100_000**0.5)


def test_ring_and_grid_lie_where_they_should():
    ring = build("ring").examples("train", 10_000)
    angle = torch.atan2(ring.x[:, 1], ring.x[:, 0]) % (2 * math.pi)
    assert (ring.x.norm(dim=1) - 2).abs().max() < 0.1
    assert torch.equal((angle / (math.pi / 4)).round().long() % 8, ring.label)
    grid = build("grid").examples("train", 10_000)
    assert ((grid.x / 2).round() * 2 - grid.x).abs().max() < 0.3
    assert len((grid.x / 2).round().unique(dim=0)) == 25


def test_moons_lie_on_their_half_circles():
    moons = build("moons").examples("train", 10_000)
    centre = torch.where(moons.label[:, None] == 0, torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.5]))
    assert ((moons.x - centre).norm(dim=1) - 1).abs().mean() < 0.1
    assert moons.label.double().mean() == pytest.approx(0.5, abs=0.03)


def test_density_of_the_moons_is_that_of_fine_steps_along_their_arcs():
    data = build("moons")
    x = torch.cartesian_prod(torch.arange(-2.0, 3.1, 0.5), torch.arange(-2.0, 2.6, 0.5)).double()
    angle = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000 * math.pi
    arcs = [(angle.cos(), angle.sin()), (1 - angle.cos(), 0.5 - angle.sin())]
    squared = torch.cat([(x[:, :1] - a).square() + (x[:, 1:] - b).square() for a, b in arcs], dim=1)
    slow = torch.logsumexp(-squared / 0.02, dim=1) - math.log(2e5 * 2 * math.pi * 0.01)
    torch.testing.assert_close(data.log_prob(x), slow, rtol=0, atol=1e-5)


def test_density_of_the_moons_is_that_of_their_points():
    """The share of 100,000 points in each cell is the density's integral over it."""
    data = build("moons", num_train=100_000)
    edges = torch.arange(-2.0, 3.01, 0.25)
    counts = torch.histogramdd(data.examples("train", 100_000).x, [edges, edges]).hist.double()
    fine = torch.arange(-2.0, 3.0, 0.025, dtype=torch.float64) + 0.0125
    density = data.log_prob(torch.cartesian_prod(fine, fine)).exp().view(20, 10, 20, 10) * 0.025**2
    expected = 100_000 * density.sum((1, 3))
    chi_squared = ((counts - expected).square() / expected)[expected > 5].sum().item()
    cells = int((expected > 5).sum())
    assert abs(chi_squared - cells) < 5 * math.sqrt(2 * cells)
