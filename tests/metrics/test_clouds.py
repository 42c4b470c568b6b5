"""The sliced Wasserstein distance against SciPy's transport, linear programs and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

import pmodel.metrics.clouds
from pmodel.metrics.clouds import directions, sliced_wasserstein


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def transport(a, b):
    """W₂² of two sets on a line as a linear program over all plans."""
    N, M = len(a), len(b)
    cost = ((np.array(a)[:, None] - np.array(b)) ** 2).ravel()
    rows = np.concatenate([np.kron(np.eye(N), np.ones(M)), np.kron(np.ones(N), np.eye(M))])
    return linprog(cost, A_eq=rows, b_eq=[1 / N] * N + [1 / M] * M).fun


@pytest.mark.parametrize(("N", "M"), [(7, 7), (5, 8), (8, 5), (6, 4), (1, 9), (3, 12)])
def test_on_the_line_it_is_the_cost_of_the_best_plan_of_all(N, M):
    x, y = normal(N, 1), 2 * normal(M, 1, seed=1) + 1
    expected = math.sqrt(transport(x[:, 0].tolist(), y[:, 0].tolist()))
    assert sliced_wasserstein(x, y) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("block", [2**22, 30, 1])
@pytest.mark.parametrize(("N", "M", "D"), [(6, 6, 2), (6, 9, 2), (9, 4, 5)])
def test_it_is_the_mean_over_directions_of_the_best_plans_whatever_the_blocks(N, M, D, block, monkeypatch):
    monkeypatch.setattr(pmodel.metrics.clouds, "BLOCK", block)
    x, y = normal(N, D), 2 * normal(M, D, seed=1) + 0.5
    costs = [transport((x @ theta).tolist(), (y @ theta).tolist()) for theta in directions(D, 7)]
    assert sliced_wasserstein(x, y, 7) == pytest.approx(math.sqrt(np.mean(costs)), rel=1e-8)


def test_points_given_several_times_are_the_same_cloud():
    x, y = normal(12, 3), normal(12, 3, seed=1)
    whole = sliced_wasserstein(x, y)
    assert sliced_wasserstein(x.repeat(5, 1), y.repeat_interleave(7, 0)) == pytest.approx(whole, rel=1e-12)
    assert sliced_wasserstein(x, x[torch.randperm(12)].repeat(3, 1)) == pytest.approx(0, abs=1e-12)


def test_directions_are_unit_vectors_fixed_and_evenly_spaced_in_the_plane():
    assert directions(1, 256).tolist() == [[1.0]]
    angles = [math.atan2(b, a) for a, b in directions(2, 4).tolist()]
    assert angles == pytest.approx([0, math.pi / 4, math.pi / 2, 3 * math.pi / 4])
    many = directions(5, 4000)
    assert torch.equal(many, directions(5, 4000))
    torch.testing.assert_close(many.norm(dim=1), torch.ones(4000, dtype=torch.float64))
    torch.testing.assert_close(many.T @ many / 4000, torch.eye(5, dtype=torch.float64) / 5, rtol=0, atol=0.02)
    torch.testing.assert_close(many.mean(0), torch.zeros(5, dtype=torch.float64), rtol=0, atol=0.04)


def test_a_shift_is_its_length_over_the_root_of_the_dimension():
    x = normal(40, 2)
    shift = torch.tensor([3.0, 4.0])
    assert sliced_wasserstein(x, x + shift) == pytest.approx(5 / math.sqrt(2), rel=1e-12)
    assert sliced_wasserstein(x[:, :1], x[:, :1] - 3) == pytest.approx(3, rel=1e-12)
    x = normal(40, 10)
    assert sliced_wasserstein(x, x + 1, 4000) == pytest.approx(1, rel=0.05)


def test_it_is_symmetric_scales_with_the_points_and_forgets_where_they_are():
    x, y = normal(20, 3), normal(31, 3, seed=1)
    whole = sliced_wasserstein(x, y)
    assert sliced_wasserstein(y, x) == pytest.approx(whole, rel=1e-12)
    assert sliced_wasserstein(3 * x, 3 * y) == pytest.approx(3 * whole, rel=1e-12)
    assert sliced_wasserstein(x + 1e8, y + 1e8) == pytest.approx(whole, rel=1e-6)


def test_of_gaussians_in_the_plane_it_is_the_difference_of_deviations():
    found = sliced_wasserstein(normal(20_000, 2), 3 * normal(15_000, 2, seed=1))
    assert found == pytest.approx(2, rel=0.02)


def test_what_has_no_distance_gives_nan_and_no_directions_are_refused():
    x = normal(6, 2)
    assert math.isnan(sliced_wasserstein(x[:0], x))
    assert math.isnan(sliced_wasserstein(x, x[:0]))
    broken = x.clone()
    broken[1, 0] = math.inf
    assert math.isnan(sliced_wasserstein(broken, x))
    assert math.isnan(sliced_wasserstein(x, broken))
    with pytest.raises(ValueError, match="num_directions=0: expected at least 1"):
        sliced_wasserstein(x, x, 0)
