"""Grids and plots: what is drawn where."""

import numpy as np
import pytest
import torch

from pmodel.plots.grids import (
    captioned_grid,
    columns_for,
    equations,
    font,
    hidden,
    image_grid,
    labelled_rows,
    side_by_side,
    to_uint8,
)
from pmodel.plots.palette import cluster_color
from pmodel.plots.plots import (
    clouds,
    clouds_over,
    curves,
    grouped,
    new_figure,
    rows_and_columns,
)


def test_grid_puts_each_image_in_its_cell_and_enlarges_small_ones():
    images = torch.linspace(0, 1, 5).view(5, 1, 1, 1).expand(5, 1, 8, 8)
    grid = image_grid(images, columns=3, gap=2)
    assert grid.shape == (2 * 58 + 2, 3 * 58 + 2, 3)
    for i, value in enumerate(to_uint8(images)[:, 0, 0, 0]):
        row, column = divmod(i, 3)
        cell = grid[2 + row * 58 : 58 + row * 58, 2 + column * 58 : 58 + column * 58]
        assert (cell == value).all()


def test_captions_stand_below_their_images_without_touching_the_next():
    captions = ["1", "2\n3", "a caption that is wider than its image", "4", ""]
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
def test_what_is_hidden_is_a_blue_chequerboard_whatever_the_image(C, H, W, side):
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


def test_a_row_stands_beside_its_label():
    rows = {"epoch 1": torch.zeros(3, 1, 8, 8), "epoch 10": torch.full((3, 1, 8, 8), 0.2), "": torch.ones(3, 1, 8, 8)}
    page = labelled_rows(rows)
    grid = image_grid(torch.cat(list(rows.values())), 3)
    margin = page.shape[1] - grid.shape[1]
    assert (page[:, margin:] == grid).all()
    labels = [(part[:, :margin] < 128).any() for part in np.array_split(page, 3)]
    assert labels == [True, True, False]


def test_signs_stand_between_the_terms_of_an_equation_and_captions_below():
    terms = torch.zeros(2, 4, 1, 8, 8)
    captions = [["1", "2", "3", ""], ["4", "5", "6", ""]]
    page, plain = equations(terms, captions, "−+=", 24), equations(terms, captions, "   ", 24)
    assert (plain == captioned_grid(terms.flatten(0, 1), sum(captions, []), 4, gap=24)).all()  # noqa: RUF017
    added = (page != plain).any(-1)
    for row in range(2):
        top = 24 + row * (56 + 4 + 15 + 24)
        assert added[top + 56 : top + 56 + 43].sum() == 0
        for column in range(1, 4):
            left = column * 80
            sign = added[top : top + 56, left : left + 24]
            assert sign.any()
            assert abs(np.nonzero(sign)[0].mean() - 28) < 4
            assert abs(np.nonzero(sign)[1].mean() - 12) < 3
            added[top : top + 56, left : left + 24] = False
    assert not added.any()


@pytest.mark.parametrize(("count", "expected"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (7, (2, 4)), (8, (2, 4))])
def test_panels_fill_their_rows(count, expected):
    assert rows_and_columns(count, 4) == expected


@pytest.fixture
def figures(monkeypatch):
    """Matplotlib's figures that are drawn."""
    figures = []
    monkeypatch.setattr(
        "pmodel.plots.plots.new_figure", lambda *size, **more: figures.append(new_figure(*size, **more)) or figures[-1]
    )
    return figures


def test_splits_have_their_colours_in_all_panels_and_shared_panels_one_for_each_quantity(figures):
    line = ([1.0, 2.0], [2.0, 1.0])
    shared = dict.fromkeys(("real, train", "real, val", "fake, train", "fake, val"), line)
    curves({"distance": {"val (averaged weights)": line}, "loss": {"train": line, "val": line}, "D": shared})
    found = [[(line.get_color(), line.get_linestyle()) for line in axes.lines] for axes in figures[0].axes]
    (val,), loss, verdicts = found
    colours = [cluster_color(k) for k in range(4)]
    assert loss == [(colours[0], "-"), val] == [(colours[0], "-"), (colours[1], "-")]
    assert verdicts == [(colours[k], style) for k in (2, 3) for style in ("-", "--")]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("spread", [1.0, 0.4, 0.001])
def test_no_title_of_clouds_touches_an_edge_and_four_stand_in_a_row(count, spread, figures):
    points = np.random.default_rng(0).normal(size=(50, 2)) * [1, spread]
    image = clouds({f"Ågy {i}": points for i in range(count)})
    assert (image[:2] == 255).all()
    assert (image[-2:] == 255).all()
    shown = [axes for axes in figures[0].axes if axes.get_title()]
    assert len(shown) == count
    tops = [round(axes.get_window_extent().y1) for axes in shown]
    assert len(set(tops)) == (1 if count <= 4 else 2)


def test_histograms_of_clouds_share_their_scale(figures):
    generator = np.random.default_rng(0)
    groups = {name: generator.normal(size=(500, 1)) * width for name, width in (("narrow", 0.2), ("wide", 2.0))}
    clouds(groups)
    narrow, wide = figures[0].axes
    assert narrow.get_ylim() == wide.get_ylim()
    assert narrow.get_ylim()[1] > 3 * max(bar.get_height() for bar in wide.patches)


def test_plots_are_images():
    line = ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    for image in (
        curves({"loss": {"train": line, "val": line}}),
        clouds({"real": np.random.default_rng(0).normal(size=(50, 1)), "fake": np.zeros((9, 1))}),
        clouds({"real": np.random.default_rng(0).normal(size=(50, 2))}),
        clouds_over(np.random.default_rng(0).normal(size=(50, 2)), {"epoch 1": np.full((9, 2), np.nan)}, "title"),
        clouds_over(np.zeros((5, 2)), {f"epoch {k}": np.ones((9, 2)) for k in range(7)}, "title"),
        grouped({"0": np.zeros((2, 2)), "no label": np.zeros((1, 2))}, ["a", "b"], "codes"),
    ):
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.std() > 0


def test_curves_show_the_late_epochs_even_if_the_first_is_far_off():
    late = [1.0 - 0.01 * i for i in range(50)]
    with_start = curves({"loss": {"train": (list(range(51)), [1e6, *late])}})
    without = curves({"loss": {"train": (list(range(51)), [1.0, *late])}})
    assert np.abs(with_start.astype(int) - without).mean() < 2
