"""Maps of the likelihood: one colour scale for all, that no pixel spoils."""

import numpy as np
import pytest
import torch

from pmodel.plots.likelihoods import COLOURS, likelihood_maps


def maps(bits: np.ndarray) -> list[np.ndarray]:
    """The maps' cells (H, W, 3) on the page of black images; their pixels are 28×28 on the page."""
    count, height, width = bits.shape
    page = likelihood_maps(torch.zeros(count, 1, height, width), bits, [""] * count)
    assert page.dtype == np.uint8
    # Below the title, after the margin and the image, in a single row of images.
    top, side = 28 + 16 + 28 * (height + 1) + 14, 28
    lefts = [16 + i * (28 * width + 16) + 14 for i in range(count)]
    return [page[top : top + side * height : side, left : left + side * width : side] for left in lefts]


def test_equal_costs_have_equal_colours_in_all_maps_and_none_is_black():
    bits = np.zeros((3, 4, 4))
    bits[1, 2, 3] = bits[2, 0, 1] = 3.0
    bits[2, 1, 1] = 1.5
    black, middle, top = ((255 * np.array(COLOURS(value)[:3])).round() for value in (0.0, 0.5, 1.0))
    found = maps(bits)
    assert (found[0] == black).all()
    for cell in (found[1][2, 3], found[2][0, 1]):
        np.testing.assert_allclose(cell, top, atol=1)
    np.testing.assert_allclose(found[2][1, 1], middle, atol=4)


def test_one_pixel_of_very_low_probability_leaves_the_others_as_they_are():
    bits = np.random.default_rng(0).uniform(0, 5, (4, 12, 12))
    before = likelihood_maps(torch.zeros(4, 1, 12, 12), bits, [""] * 4)
    bits[0, 0, 0] = 500
    after = likelihood_maps(torch.zeros(4, 1, 12, 12), bits, [""] * 4)
    # The bar's scale may move a little, and its end becomes an arrow.
    different = np.abs(before.astype(int) - after)[:, : 16 + 2 * (12 * 10 + 16)].max(-1) > 8
    assert different.mean() < 0.01


@pytest.mark.parametrize("value", [0.0, np.inf, np.nan])
def test_certain_impossible_and_undefined_pixels_are_drawn(value):
    bits = np.full((2, 4, 4), value)
    assert likelihood_maps(torch.rand(2, 3, 4, 4), bits, ["a", "b\nc"]).std() > 0
    bits[0] = 1.0
    assert likelihood_maps(torch.rand(2, 1, 4, 4), bits, ["a", "b\nc"]).std() > 0
