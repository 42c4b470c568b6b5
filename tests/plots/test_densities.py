"""Densities over points: where the levels lie, and that nothing odd stops the drawing."""

import math

import numpy as np
import pytest

from pmodel.plots.clusters import cluster_map_on_line
from pmodel.plots.densities import (
    FRACTIONS,
    Regions,
    cell_widths,
    density_on_line,
    density_on_plane,
    highest_density_levels,
)
from pmodel.plots.fields import field_on_line
from pmodel.plots.frame import Frame, axis_through, lattice
from pmodel.plots.plots import new_axes, render


def log_normal(points: np.ndarray, std: float) -> np.ndarray:
    return -0.5 * (points**2).sum(1) / std**2 - math.log(2 * math.pi * std**2)


def test_regions_of_highest_density_of_a_gaussian_are_discs_of_known_radius_and_mass():
    axis = np.linspace(-5, 5, 401)
    points, area = lattice(axis, axis), np.outer(cell_widths(axis), cell_widths(axis)).ravel()
    log_density = log_normal(points, 1.0)
    levels = highest_density_levels(log_density, area, FRACTIONS)
    for fraction, level in zip(FRACTIONS, levels, strict=True):
        mass = (np.exp(log_density) * area)[log_density >= level].sum()
        assert mass == pytest.approx(fraction, abs=0.005)
        # P(|x| < r) = 1 − exp(−r² / 2) in the plane.
        radius = math.sqrt(-2 * math.log(1 - fraction))
        assert level == pytest.approx(-0.5 * radius**2 - math.log(2 * math.pi), abs=0.02)


def test_levels_do_not_depend_on_how_unevenly_the_cells_cover_the_plane():
    even = np.linspace(-5, 5, 401)
    uneven = np.unique(np.concatenate([np.linspace(-5, 5, 151), np.linspace(-1, 2, 150)]))
    levels = []
    for axis in (even, uneven):
        area = np.outer(cell_widths(axis), cell_widths(axis)).ravel()
        levels.append(highest_density_levels(log_normal(lattice(axis, axis), 1.0), area, FRACTIONS))
    np.testing.assert_allclose(*levels, atol=0.05)


def test_an_axis_has_many_coordinates_in_modes_that_are_much_narrower_than_the_range():
    values = np.concatenate([np.random.default_rng(0).normal(place, 0.02, 500) for place in (-2, 0, 2)])
    axis = axis_through(values, 240)
    assert len(axis) <= 240
    assert (np.diff(axis) > 0).all()
    assert axis[0] < values.min()
    assert axis[-1] > values.max()
    for place in (-2, 0, 2):
        assert (abs(axis - place) < 0.04).sum() > 20
    assert cell_widths(axis).sum() == pytest.approx(axis[-1] - axis[0])


def test_the_closer_panel_shows_the_mode_in_which_the_density_is_highest():
    values = np.concatenate([np.random.default_rng(0).normal(place, 0.02, (500, 2)) for place in (-2, 2)])
    x, y = (axis_through(column, 240) for column in values.T)
    points = lattice(x, y)
    log_density = np.logaddexp(
        log_normal(points - 2, 0.02) + math.log(0.7), log_normal(points + 2, 0.02) + math.log(0.3)
    )
    low, high = Regions(x, y, log_density.reshape(len(y), len(x))).densest()
    np.testing.assert_allclose((low + high) / 2, 2, atol=0.01)
    # 99 % of such a mode's mass is within 0.06 of it.
    assert (high - low > 0.1).all()
    assert (high - low < 0.25).all()


@pytest.mark.parametrize("values", [0.0, -np.inf, np.nan])
def test_flat_and_empty_densities_are_drawn(values):
    axis = np.linspace(-1, 1, 20)
    points = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    log_density = np.full((20, 20), values)
    frame = Frame([axis, axis], ["x", "y"], "flat")
    assert density_on_plane(points, frame, log_density, None).std() > 0
    log_density[:, :10] = -np.inf
    assert density_on_plane(points, frame, log_density, None).std() > 0


def test_a_flat_density_is_one_region_of_everything():
    axis = np.linspace(-1, 1, 20)
    regions = Regions(axis, axis, np.zeros((20, 20)))
    assert len(regions.levels) == 1
    axes = new_axes(2, 2)
    regions.draw(axes)
    axes.axis("off")
    # The axes are filled; what stays white is the margin around them.
    assert (render(axes.figure) < 250).any(-1).mean() > 0.8


def test_one_point_and_collapsed_components_are_drawn():
    axis = axis_through(np.zeros(1), 40)
    assert len(axis) >= 2
    log_density = np.full((len(axis), len(axis)), -np.inf)
    log_density[3, 3] = 50.0
    collapsed = [(np.ones(2), np.zeros((2, D)), np.stack([np.zeros((D, D)), np.full((D, D), np.nan)])) for D in (1, 2)]
    on_line, on_plane = Frame([axis], ["x"], "one"), Frame([axis, axis], ["x", "y"], "one")
    assert density_on_plane(np.zeros((1, 2)), on_plane, log_density, collapsed[1]).std() > 0
    density = np.zeros(len(axis))
    for height in (1e30, np.inf, np.nan):
        density[3] = height
        assert density_on_line(np.zeros((5, 1)), on_line, {"model": density}, collapsed[0]).std() > 0


def test_a_plot_of_the_line_stands_over_the_name_of_its_column(monkeypatch):
    points, axis = np.random.default_rng(0).normal(size=(50, 1)), np.linspace(-3, 3, 100)
    frame = Frame([axis], ["age"], "title")
    for module in ("densities", "fields", "clusters"):
        monkeypatch.setattr(f"pmodel.plots.{module}.render", lambda figure: figure.axes[0].get_xlabel())
    assert density_on_line(points, frame, {"model": axis, "true": axis}, None) == "age"
    assert field_on_line(points, points, frame, axis, "D(x)") == "age"
    assert cluster_map_on_line(points, np.arange(50) % 2, frame, np.arange(100) // 50, None) == "age"


def test_a_spike_does_not_flatten_the_histogram():
    points = np.random.default_rng(0).normal(size=(500, 1))
    axis = axis_through(points, 100)
    frame = Frame([axis], ["x"], "spike")
    normal = np.exp(-0.5 * axis**2) / math.sqrt(2 * math.pi)
    spiked = normal.copy()
    spiked[50] = 1e9
    images = [density_on_line(points, frame, {"model": density}, None) for density in (normal, spiked)]
    blue = [(image[..., 2] > image[..., 0] + 40).mean() for image in images]
    assert blue[1] > 0.4 * blue[0]
