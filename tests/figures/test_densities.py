"""Densities that a model knows but for a factor."""

import math

import numpy as np
import pytest
import torch
from built import DensityFigure
from figure_parts import FakeModel
from support import array_data
from torch.distributions import Normal

from pmodel.figures.densities import log_integral, on_lattice
from pmodel.figures.figure import Scene
from pmodel.plots.frame import axis_through


def log_prob(x: torch.Tensor) -> torch.Tensor:
    return Normal(0.0, 1.0).log_prob(x).sum(1)


def normal(D: int) -> torch.Tensor:
    return torch.randn(3000, D, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("D", [1, 2])
def test_the_integral_over_a_lattice_is_that_of_the_density(D):
    axes = [axis_through(column, 400) for column in normal(D).numpy().T]
    values = on_lattice(axes, lambda x: log_prob(x) + 7, torch.device("cpu"))
    inside = sum(math.log(math.erf(max(-axis[0], axis[-1]) / math.sqrt(2))) for axis in axes)
    assert log_integral(axes, values) == pytest.approx(7 + inside, abs=2e-3)


@pytest.mark.parametrize("D", [1, 2])
def test_a_density_but_for_a_factor_is_drawn_as_the_density(D):
    scene = Scene(array_data(normal(D)[:300]), 1)
    images = [
        DensityFigure().draw(scene, FakeModel(unnormalized_log_prob=lambda x, c=c: log_prob(x) + c)) for c in (0, -4)
    ]
    assert different(*images) < 0.001  # by float32's rounding of log p − 4
    exact = DensityFigure().draw(scene, FakeModel(log_prob=log_prob))
    # Below the title, which says how it is normalized.
    assert different(*(image[len(image) // 4 :] for image in (images[0], exact))) < 0.02


def different(a: np.ndarray, b: np.ndarray) -> float:
    """The share of the pixels in which two images clearly differ."""
    return (np.abs(a.astype(int) - b).max(2) > 40).mean()
