"""Clusters of points on the line and in the plane, drawn with matplotlib: arrays in, one uint8 image out."""

from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb

from pmodel.plots.densities import Gaussians, draw_gaussians
from pmodel.plots.frame import Frame, ratio, to_scale
from pmodel.plots.palette import CLUSTER_COLORS, cluster_color
from pmodel.plots.plots import HALO, new_axes, new_figure, panels, render, rows_and_columns

# More centres than that stand too close for a number at each.
MAX_NUMBERED = 40

# Where the centres (K, D) are, and how many examples (K,), int, belong to each.
Centres = tuple[np.ndarray, np.ndarray]


def cluster_map_on_line(
    points: np.ndarray, labels: np.ndarray, frame: Frame, regions: np.ndarray, centres: Centres | None
) -> np.ndarray:
    """The histogram of points (N, 1), stacked and coloured by cluster (N,), over the regions (M,) of an axis (M,)."""
    axes, (axis,) = new_axes(8, 4.4), frame.axes
    bins = np.linspace(axis[0], axis[-1], 81)
    below = np.zeros(80)
    for k in np.unique(labels):
        counts, _ = np.histogram(points[labels == k], bins)
        axes.stairs(counts + below, bins, baseline=below, fill=True, color=cluster_color(k))
        below = below + counts
    changes = np.flatnonzero(np.diff(regions)) + 1
    edges = [axis[0], *(axis[changes - 1] + axis[changes]) / 2, axis[-1]]
    for k, left, right in zip(regions[[0, *changes]], edges[:-1], edges[1:], strict=True):
        axes.axvspan(left, right, color=cluster_color(k), alpha=0.15, linewidth=0)
    frame.put_around(axes)
    axes.set(ylabel="points", ylim=(0, 1.3 * below.max()))
    for k, (centre, count) in enumerate(zip(*centres, strict=True) if centres else ()):
        axes.axvline(centre[0], color=cluster_color(k), linewidth=1.2, linestyle="--" if count else ":")
        if count and len(centres[1]) <= MAX_NUMBERED:
            text = axes.text(centre[0], 1.28 * below.max(), f"{count:,}", rotation=90, ha="center", va="top")
            text.set(fontsize=9, path_effects=HALO)
    return render(axes.figure)


def cluster_map_on_plane(
    points: np.ndarray, labels: np.ndarray, frame: Frame, regions: np.ndarray, centres: Centres | None
) -> np.ndarray:
    """Points (N, 2) coloured by cluster (N,) over the clusters' regions (len(y), len(x)), with white borders."""
    axes = new_axes(*frame.size(7))
    colors = np.array([to_rgb(color) for color in CLUSTER_COLORS])
    shading = 1 - 0.22 * (1 - colors[regions % len(colors)])
    shading[:, 1:][np.diff(regions, axis=1) != 0] = 1
    shading[1:][np.diff(regions, axis=0) != 0] = 1
    axes.imshow(shading, extent=frame.extent, origin="lower", aspect="auto", interpolation="nearest")
    size = float(np.clip(12_000 / len(points), 4, 20))
    axes.scatter(*points.T, s=size, c=colors[labels % len(colors)], alpha=0.8, linewidths=0)
    if centres is not None:
        places, counts = centres
        full = counts > 0
        axes.scatter(*places[full].T, s=36, c="white", marker="X", edgecolors="black", linewidths=0.8, zorder=3)
        axes.scatter(*places[~full].T, s=24, c="0.4", marker="x", linewidths=1, zorder=3)
        if len(counts) <= MAX_NUMBERED:
            offsets = _away_from_neighbours(places[full] / [np.ptp(axis) for axis in frame.axes])
            for place, count, offset in zip(places[full], counts[full], offsets, strict=True):
                text = axes.annotate(f"{count:,}", place, 12 * offset, textcoords="offset points", zorder=4)
                text.set(fontsize=9, ha="center", va="center", path_effects=HALO)
    frame.put_around(axes)
    return render(axes.figure)


class Fit(NamedTuple):
    """Clusters of points: labels (N,), centres (K, 2), and the Gaussians of a mixture."""

    labels: np.ndarray
    centres: np.ndarray
    gaussians: Gaussians | None


def fits_on_plane(points: np.ndarray, fits: dict[str, Fit], frame: Frame) -> np.ndarray:
    """The same points (N, 2) in a panel for each fit, coloured by its clusters, with its centres."""
    rows, columns = rows_and_columns(len(fits), 4)
    side = 2.7 * float(np.clip(ratio(*frame.axes), 0.5, 1.3))
    figure = new_figure(2.9 * columns + 0.4, (side + 0.45) * rows + 0.5)
    for axes, (title, fit) in zip(panels(figure, len(fits), 4), fits.items(), strict=True):
        axes.scatter(*points.T, s=5, c=[cluster_color(k) for k in fit.labels], alpha=0.55, linewidths=0)
        if fit.gaussians is not None:
            draw_gaussians(axes, fit.gaussians, "0.15")
        axes.scatter(*fit.centres.T, s=34, c="black", marker="X", edgecolors="white", linewidths=0.8, zorder=3)
        x, y = frame.axes
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        axes.set_aspect("equal" if to_scale(x, y) else "auto")
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=5)
    figure.suptitle(frame.title, fontsize=11)
    return render(figure)


def _away_from_neighbours(places: np.ndarray) -> np.ndarray:
    """For each place (K, 2) in [0, 1]² a direction (K, 2) for its number: up, or away from places that are close."""
    apart = places[:, None] - places
    distance = np.linalg.norm(apart, axis=-1, keepdims=True)
    push = np.where((distance > 0) & (distance < 0.06), apart / np.maximum(distance, 1e-12), 0).sum(1)
    push[np.linalg.norm(push, axis=1) < 1e-6] = (0, 1)
    return push / np.linalg.norm(push, axis=1, keepdims=True)
