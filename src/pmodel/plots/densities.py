"""Densities on the line and in the plane over points, drawn with matplotlib: arrays in, one uint8 image out."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pmodel.plots.frame import Frame, ratio, to_scale
from pmodel.plots.plots import new_axes, new_figure, render

# Highest-density regions are drawn that hold these shares of the probability.
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
# Weights (K,), means (K, D) and covariances (K, D, D) of a mixture.
Gaussians = tuple[np.ndarray, np.ndarray, np.ndarray]


def cell_widths(axis: np.ndarray) -> np.ndarray:
    """The length of the line (N,) that is nearest to each of N rising coordinates, within their range."""
    edges = np.concatenate([axis[:1], (axis[1:] + axis[:-1]) / 2, axis[-1:]])
    return np.diff(edges)


def highest_density_levels(log_density: np.ndarray, area: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """The log-densities above which these fractions of the probability lie, as cells (G,) of these areas (G,) hold it.

    The smallest region that holds a share of the probability is that of highest density (Hyndman: Computing and
    Graphing Highest Density Regions, 1996). At least one cell is above, or at, each level.
    """
    order = np.argsort(-log_density)
    mass = np.cumsum(np.exp(log_density[order] - log_density[order[0]]) * area[order])
    return log_density[order[np.searchsorted(mass, np.asarray(fractions) * mass[-1])]]


def density_on_line(
    points: np.ndarray, frame: Frame, curves: dict[str, np.ndarray], gaussians: Gaussians | None
) -> np.ndarray:
    """The histogram of points (N, 1) under densities along the axis (M,); thin curves for the Gaussians of a mixture.

    curves: densities (M,) by name, the model's first
    """
    axes, (axis,) = new_axes(7, 4.4), frame.axes
    bins = int(np.clip(2 * len(points) ** 0.5, 10, 80))
    heights, _, _ = axes.hist(points, bins, density=True, color="C0", alpha=0.35, label="points")
    for (label, density), style in zip(curves.items(), ("C1-", "k--"), strict=False):
        axes.plot(axis, density, style, linewidth=2 if style == "C1-" else 1.2, label=label)
    for i, (weight, (mean,), ((variance,),)) in enumerate(zip(*gaussians, strict=True) if gaussians else ()):
        with np.errstate(all="ignore"):  # a component that has collapsed onto a point has no density
            part = weight * np.exp(-0.5 * (axis - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
        axes.plot(axis, part, color="C1", linewidth=0.9, alpha=0.7, label=None if i else "the model's components")
    # A component that has collapsed onto a point would make the rest a flat line.
    highest = max([heights.max(), *(np.nanmax(density) for density in curves.values())])
    frame.put_around(axes)
    axes.set(ylabel="density", ylim=(0, 1.05 * min(highest, 2 * heights.max())))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return render(axes.figure)


def density_on_plane(
    points: np.ndarray, frame: Frame, log_density: np.ndarray, gaussians: Gaussians | None
) -> np.ndarray:
    """Regions of highest density below points (N, 2), and the Gaussians of a mixture as ellipses.

    Where the region around the densest place is small, a second panel shows it closer.

    log_density: (len(y), len(x)), on the lattice of the coordinates; −∞ where there is none
    """
    x, y = frame.axes
    regions = Regions(x, y, log_density)
    window = regions.densest()
    small = window is not None and (np.ptp(window, axis=0) < 0.2 * np.array([np.ptp(x), np.ptp(y)])).all()
    width, height = 5.4, float(np.clip(5.4 * ratio(x, y), 2.4, 6.5))
    # Room for the numbers at the left, which may have many digits.
    left = 0.7 + 0.09 * float(np.clip(len(f"{np.abs(y).max():.0f}") - 2, 0, 5))
    page = np.array([left + width + 2.2, max(height + 1.2, 4.6 if small else 3.6)])
    # Places in inches: a constrained layout cuts the title off beside a legend and axes to scale.
    figure = new_figure(*page, layout=None)
    axes = figure.add_axes((*((left, (page[1] - height - 0.05) / 2) / page), *((width, height) / page)))
    handles = regions.draw(axes) + _draw_points(axes, points, gaussians, 4000 / len(points))
    frame.put_around(axes)
    corner = (left + width + 0.15, page[1] - 0.15) / page
    figure.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=corner, borderaxespad=0, fontsize=9)
    if small:
        closer = figure.add_axes((*((page[0] - 1.65, 0.3) / page), *((1.5, 1.5) / page)))
        regions.draw(closer)
        inside = ((points >= window[0]) & (points <= window[1])).all(1).sum()
        _draw_points(closer, points, gaussians, 600 / max(inside, 1))
        closer.set(xlim=window[:, 0], ylim=window[:, 1])
        closer.tick_params(labelsize=8)
        closer.xaxis.set_major_locator(MaxNLocator(3))
        closer.yaxis.set_major_locator(MaxNLocator(3))
        closer.set_title("closer, where it is densest", fontsize=9, loc="right")
    return render(figure)


class Regions:
    """The regions of highest density that hold FRACTIONS of the probability.

    log_density: (len(y), len(x)); NaN counts as −∞
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, log_density: np.ndarray):
        self.x, self.y = x, y
        log_density = np.where(np.isnan(log_density), -np.inf, log_density)
        self.levels, self.shown = np.empty(0), np.empty(0, int)
        if np.isfinite(log_density.max()):
            area = np.outer(cell_widths(y), cell_widths(x))
            levels = highest_density_levels(log_density.ravel(), area.ravel(), FRACTIONS)
            # Where a density is flat, several levels are one; a little below, so that the plateau is inside.
            self.levels, self.shown = np.unique(levels - 1e-6, return_index=True)
            # The logarithm is smooth where the density is steep; below the lowest level its value does not matter.
            self.heights = np.maximum(log_density, self.levels[0] - 10)

    def draw(self, axes: Axes) -> list[Patch]:
        """Fills them; what the legend shows."""
        if not len(self.levels):
            return []
        blues = colormaps["Blues"](np.linspace(0.75, 0.12, len(FRACTIONS)))
        levels = [*self.levels, self.heights.max() + 1]
        axes.contourf(self.x, self.y, self.heights, levels, colors=blues[self.shown])
        axes.contour(self.x, self.y, self.heights, self.levels, colors="C0", linewidths=0.5, linestyles="solid")
        return [Patch(color=blues[i], label=f"holds {FRACTIONS[i]:.0%} of p(x)") for i in sorted(self.shown)]

    def densest(self) -> np.ndarray | None:
        """The corners (2, 2) of a window around the widest region's part in which the density is highest."""
        if not len(self.levels):
            return None
        row, column = np.unravel_index(self.heights.argmax(), self.heights.shape)
        inside = self.heights >= self.levels[0]
        place = np.array([self.x[column], self.y[row]])
        # A cross through the maximum: how far the region reaches along both axes.
        reach = [self.x[_run(inside[row], column)], self.y[_run(inside[:, column], row)]]
        half = np.abs(np.transpose(reach) - place).max(0)
        if to_scale(self.x, self.y):
            half[:] = half.max()
        return place + 1.5 * half * np.array([[-1], [1]]) if half.min() > 0 else None


def _run(line: np.ndarray, i: int) -> list[int]:
    """The first and the last place of the unbroken run of True in a line (N,) around its i-th place."""
    outside = np.flatnonzero(~np.pad(line, 1))  # these places are one more than those in the line
    after = np.searchsorted(outside, i + 1)
    return [int(outside[after - 1]), int(outside[after]) - 2]


def _draw_points(axes: Axes, points: np.ndarray, gaussians: Gaussians | None, size: float) -> list[Artist]:
    """Points, and ellipses of one and two standard deviations, fainter for those of little weight; what the legend
    shows."""
    size = float(np.clip(size, 1, 12))
    drawn = [axes.scatter(*points.T, s=size, c="0.15", alpha=0.6, linewidths=0, label="points")]
    if gaussians is None:
        return drawn
    draw_gaussians(axes, gaussians, "C1")
    (centres,) = axes.plot(*gaussians[1].T, "+", color="C3", markersize=5, label="means")
    return [*drawn, Line2D([], [], color="C1", label="standard deviations:\n1 and 2"), centres]


def draw_gaussians(axes: Axes, gaussians: Gaussians, colour: str) -> None:
    """Ellipses of one and two standard deviations, fainter for those of little weight."""
    weights, means, covariances = gaussians
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        if np.isfinite(covariance).all() and np.isfinite(mean).all():
            variances, directions = np.linalg.eigh(covariance)
            shape = directions * np.sqrt(np.maximum(variances, 0)) @ circle
            alpha = float(np.clip(weight * len(weights), 0.25, 1))
            for deviations, width in ((1, 1.6), (2, 0.9)):
                axes.plot(*(mean[:, None] + deviations * shape), color=colour, linewidth=width, alpha=alpha)
