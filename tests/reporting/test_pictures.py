"""Grids and plots: what is drawn where."""

import numpy as np
import pytest
import torch

from pmodel.reporting.grids import captioned_grid, columns_for, font, hidden, image_grid, side_by_side, to_uint8
from pmodel.reporting.plots import clouds, cumulative_shares, curves, labelled_scatter


def test_grid_puts_each_picture_in_its_cell_and_enlarges_small_ones():
    images = torch.linspace(0, 1, 5).view(5, 1, 1, 1).expand(5, 1, 8, 8)
    grid = image_grid(images, columns=3, gap=2)
    assert grid.shape == (2 * 58 + 2, 3 * 58 + 2, 3)
    for i, value in enumerate(to_uint8(images)[:, 0, 0, 0]):
        row, column = divmod(i, 3)
        cell = grid[2 + row * 58 : 58 + row * 58, 2 + column * 58 : 58 + column * 58]
        assert (cell == value).all()


def test_captions_stand_below_their_pictures_without_touching_the_next():
    captions = ["1", "2\n3", "a caption that is wider than its picture", "4", ""]
    grid = captioned_grid(torch.zeros(5, 1, 8, 8), captions, columns=3, gap=10)
    dark = (grid < 128).all(-1)
    down, across = (size // n for size, n in zip(grid[10:, 10:].shape[:2], (2, 3), strict=True))
    assert across > 150
    for i in range(5):
        top, left = 10 + i // 3 * down, 10 + i % 3 * across
        cell = dark[top : top + down, left : left + across]
        middle = (across - 10) // 2
        assert cell[:56, middle - 28 : middle + 28].all()
        assert cell[56:].any() == bool(captions[i])
        assert not cell[-10:].any()
        assert not cell[:, -8:].any()


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (32, 8), (64, 8), (7, 3), (11, 4)])
def test_grids_are_full_rectangles_where_that_is_nearly_a_square(count, columns):
    assert columns_for(count) == columns


def test_grey_values_and_colours_are_kept_and_clipped():
    grey = torch.tensor([-0.5, 0.5, 2.0]).view(3, 1, 1, 1)
    assert to_uint8(grey)[:, 0, 0].tolist() == [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    colour = torch.tensor([1.0, 0.0, 0.2]).view(1, 3, 1, 1)
    assert to_uint8(colour)[0, 0, 0].tolist() == [255, 0, 51]


@pytest.mark.parametrize("C", [1, 3])
@pytest.mark.parametrize(("H", "W", "side"), [(8, 8, 1), (11, 9, 1), (28, 28, 3), (32, 20, 2)])
def test_what_is_hidden_is_a_blue_chequerboard_whatever_the_picture(C, H, W, side):
    x, other = torch.rand(2, 2, C, H, W)
    known = torch.rand(2, 1, H, W).expand(2, C, H, W) < 0.5
    shown = hidden(x, known)
    assert shown.shape == (2, 3, H, W)
    assert torch.equal(shown[known.expand(2, 3, H, W)], x.expand(2, 3, H, W)[known.expand(2, 3, H, W)])
    assert torch.equal(shown, hidden(torch.where(known, x, other), known))
    board = hidden(x, torch.zeros_like(known))[0]
    red, green, blue = board
    assert (red < green).all()
    assert (green < blue).all()
    assert len(board.flatten(1).unique(dim=1).T) == 2
    # A step of one square, to the right or down, always changes the colour.
    assert (board[:, :, side:] != board[:, :, :-side]).all()
    assert (board[:, side:] != board[:, :-side]).all()


def test_titles_have_the_letters_of_other_languages_and_of_mathematics():
    missing = bytes(font(15).getmask("\ue000"))
    for letter in "ÄéñЯΩ−₂×":
        assert bytes(font(15).getmask(letter)) != missing, letter


def test_panels_stand_side_by_side_below_their_titles():
    black, red = np.zeros((40, 300, 3), np.uint8), np.full((20, 300, 3), (255, 0, 0), np.uint8)
    page = side_by_side({"a": black, "b": red}, gap=24)
    assert page.shape == (68, 624, 3)
    assert (page[28:, :300] == 0).all()
    assert (page[28:48, 324:] == (255, 0, 0)).all()
    assert (page[:28] < 255).any()


def test_plots_are_pictures():
    line = ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    for picture in (
        curves({"loss": {"train": line, "val": line}}),
        clouds({"real": np.random.default_rng(0).normal(size=(50, 1)), "fake": np.zeros((9, 1))}),
        clouds({"real": np.random.default_rng(0).normal(size=(50, 2))}),
        cumulative_shares(np.array([0.6, 0.3, 0.1])),
        cumulative_shares(np.array([1.0])),
        cumulative_shares(np.full(784, 1 / 2000)),
        labelled_scatter(np.zeros((4, 2)), np.array([0, 1, 2, -1]), "codes"),
    ):
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.std() > 0


def test_curves_show_the_late_epochs_even_if_the_first_is_far_off():
    late = [1.0 - 0.01 * i for i in range(50)]
    with_start = curves({"loss": {"train": (list(range(51)), [1e6, *late])}})
    without = curves({"loss": {"train": (list(range(51)), [1.0, *late])}})
    assert np.abs(with_start.astype(int) - without).mean() < 2


@pytest.mark.parametrize("value", [0.1, 1234.0, -86.254])
def test_values_are_readable(value):
    from pmodel.reporting.summary import format_value

    assert format_value(value) == {0.1: "0.1", 1234.0: "1,234", -86.254: "-86.25"}[value]
