"""Sums of points against the same written out."""

import pytest
import torch

from pmodel.distributions.moments import gram, moments, moments_of_levels


@pytest.mark.parametrize("num_dims", [1, 111, 112, 113, 300])
def test_gram_is_the_product(num_dims):
    x = torch.randn(50, num_dims, dtype=torch.float64)
    torch.testing.assert_close(gram(x), x.T @ x)


def test_moments_are_about_the_given_point():
    x, about = torch.randn(30, 5), torch.randn(5, dtype=torch.float64)
    found = moments(x, about)
    centred = x.double() - about
    torch.testing.assert_close(found["first"], centred.sum(0))
    torch.testing.assert_close(found["second"], centred.T @ centred)


@pytest.mark.parametrize("num_levels", [2, 17, 256])
def test_moments_of_levels_are_exact(num_levels):
    """All levels at the top is the worst case: float32 sums of their squares would be wrong from 258 examples on."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, num_levels, (3000, 130), dtype=torch.uint8, generator=generator)
    levels[:, 0], levels[:, 1] = num_levels - 1, 0
    about = torch.rand(130, dtype=torch.float64, generator=generator)
    found = moments_of_levels(levels, num_levels, about)
    expected = moments(levels.double() / (num_levels - 1), about)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-10)
