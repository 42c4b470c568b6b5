"""The frames of films, drawn with matplotlib: arrays in, one uint8 image of always the same size out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pmodel.plots.densities import Gaussians, draw_gaussians
from pmodel.plots.fields import put_field
from pmodel.plots.frame import Frame, ratio, to_scale
from pmodel.plots.palette import CLUSTER_COLORS, cluster_color
from pmodel.plots.plots import HALO, new_figure, render

# Of points that belong to nothing yet.
GREY = "0.6"


def clusters_frame(
    points: np.ndarray,
    shares: np.ndarray | None,
    path: np.ndarray,
    gaussians: Gaussians | None,
    regions: np.ndarray | None,
    frame: Frame,
) -> np.ndarray:
    """Points (N, 2) in the mixed colours of the clusters that they belong to, and the way of the centres.

    shares: (N, K), how much each point belongs to each cluster; None: to none yet
    path: the centres at each moment so far, (T, K, 2)
    gaussians: of a mixture, as ellipses of one and two standard deviations
    regions: the cluster of each place, (len(y), len(x)), of even coordinates
    """
    axes = _plane(frame)
    colors = np.array([to_rgb(color) for color in CLUSTER_COLORS])
    if regions is not None:
        shading = 1 - 0.22 * (1 - colors[regions % len(colors)])
        axes.imshow(shading, extent=frame.extent, origin="lower", aspect="auto", interpolation="nearest")
    mixed = GREY if shares is None else shares @ colors[np.arange(shares.shape[1]) % len(colors)]
    axes.scatter(*points.T, s=float(np.clip(12_000 / len(points), 4, 20)), c=mixed, alpha=0.85, linewidths=0)
    if gaussians is not None:
        draw_gaussians(axes, gaussians, "0.15")
    for k in range(path.shape[1]):
        axes.plot(*path[:, k].T, color="white", linewidth=3.2, zorder=3)
        axes.plot(*path[:, k].T, color=cluster_color(k), linewidth=1.8, zorder=4)
    axes.scatter(*path[0].T, s=26, c="white", marker="o", edgecolors="0.2", linewidths=0.8, zorder=5)
    axes.scatter(*path[-1].T, s=90, c=colors[np.arange(path.shape[1]) % len(colors)], marker="X", zorder=6)
    axes.scatter(*path[-1].T, s=90, c="none", marker="X", edgecolors="black", linewidths=1.1, zorder=7)
    frame.put_around(axes)
    return render(axes.figure)


def axes_frame(points: np.ndarray, seen: np.ndarray, mean: np.ndarray, tips: np.ndarray, frame: Frame) -> np.ndarray:
    """All points (N, 2), pale, those seen so far (M, 2), and from their mean (2,) arrows to tips (K, 2) on lines."""
    axes = _plane(frame)
    axes.scatter(*points.T, s=6, color="0.87", linewidths=0)
    axes.scatter(*seen.T, s=14, color=cluster_color(0), alpha=0.75, linewidths=0)
    for k, tip in enumerate(tips, 1):
        if np.array_equal(tip, mean):  # two points vary along one line alone
            continue
        axes.axline(mean, tip, color=cluster_color(k), linewidth=0.8, alpha=0.6)
        arrow = {"arrowstyle": "-|>", "color": cluster_color(k), "linewidth": 2.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", tip, mean, arrowprops=arrow, zorder=4)
    frame.put_around(axes)
    return render(axes.figure)


def game_frame(real: np.ndarray, generated: np.ndarray, frame: Frame, verdicts: np.ndarray, label: str) -> np.ndarray:
    """A discriminator's field below real and generated points, as `field_on_plane` has it."""
    axes = _plane(frame, right=1.1)
    left, bottom, width, height = axes.get_position().bounds
    put_field(
        axes,
        real,
        generated,
        frame,
        verdicts,
        label,
        axes.figure.add_axes((left + width + 0.02, bottom, 0.025, height)),
    )
    axes.legend(loc="upper right", markerscale=2, fontsize=9)
    return render(axes.figure)


def _new_figure(width: float, height: float) -> Figure:
    """In inches; of smaller pixels than other figures, since a film has many frames. Its axes have fixed places: a
    layout that looks for room takes as long as the drawing, and would make frames tremble."""
    figure = new_figure(width, height, layout=None)
    figure.set_dpi(80)
    return figure


def _plane(frame: Frame, width: float = 5.6, right: float = 0.25) -> Axes:
    """Axes of that width, in inches, with so much room at the right."""
    height = width * float(np.clip(ratio(*frame.axes), 0.45, 1.1))
    page = np.array([width + 0.75 + right, height + 1.15])
    return _new_figure(*page).add_axes((*(np.array([0.75, 0.55]) / page), *((width, height) / page)))


def kernels_frame(
    points: np.ndarray,
    frame: Frame,
    density: np.ndarray,
    truth: np.ndarray | None,
    tried: tuple[np.ndarray, np.ndarray],
    now: int,
) -> np.ndarray:
    """A density over the points (N, 1) or (N, 2), and how likely held-out examples are under each bandwidth.

    density: (M,) along the axis, or (len(y), len(x)) on the lattice of even coordinates
    truth: the density that the points are drawn from, (M,)
    tried: bandwidths (F,) and the mean log-densities of held-out examples (F,), nats
    now: the place of this frame's bandwidth among them
    """
    figure = _new_figure(9.6, 4.2)
    axes, curve = figure.add_axes((0.075, 0.13, 0.46, 0.72)), figure.add_axes((0.625, 0.13, 0.355, 0.72))
    if len(frame.axes) == 1:
        heights, edges = np.histogram(points[:, 0], 60, density=True)
        axes.stairs(heights, edges, fill=True, color="C0", alpha=0.3, label="points")
        if truth is not None:
            axes.plot(frame.axes[0], truth, "k--", linewidth=1.2, label="true density")
        axes.plot(frame.axes[0], density, color="C1", linewidth=2, label="estimate")
        axes.set(ylim=(0, 1.6 * max(heights.max(), 0 if truth is None else truth.max())), ylabel="density")
        axes.legend(frameon=False, loc="upper left")
    else:
        axes.imshow(density, extent=frame.extent, origin="lower", aspect="auto", cmap="Blues", vmin=0)
        axes.scatter(*points.T, s=2, c="0.15", alpha=0.4, linewidths=0)
    frame.put_around(axes)
    widths, log_prob = tried
    curve.plot(widths, log_prob, color="C0", marker=".", markersize=3)
    curve.plot(widths[now], log_prob[now], "o", color="C1", markersize=9)
    best = log_prob.argmax()
    span = max(log_prob[best] - log_prob[-1], 1e-6)
    curve.set_xscale("log")
    curve.xaxis.set_minor_formatter(NullFormatter())  # to find which numbers have room takes most of the time
    curve.set_ylim(log_prob[best] - 1.15 * span, log_prob[best] + 0.15 * span)
    curve.set(xlabel="bandwidth", ylabel="mean log p(x) of held-out points, nats", title="how likely new points are")
    curve.grid(alpha=0.3)
    return render(figure)


def codes_frame(
    codes: np.ndarray,
    of_group: np.ndarray,
    groups: Sequence[str],
    limit: float,
    decoded: np.ndarray | None,
    title: str,
) -> np.ndarray:
    """Codes (N, 2), coloured by group (N,), in the square from −limit to limit, and what is decoded there.

    groups: names, at the medians of their codes
    decoded: (height, width, 3), uint8, a grid of images over the same square
    """
    figure = _new_figure(5.1 if decoded is None else 9.7, 5.2)
    axes, *beside = _squares(figure, 1 if decoded is None else 2)
    axes.scatter(*codes.T, s=7, c=[cluster_color(k) for k in of_group], alpha=0.75, linewidths=0)
    for k, group in enumerate(groups):
        text = axes.text(*np.median(codes[of_group == k], 0), group, ha="center", va="center", fontsize=13)
        text.set(color=cluster_color(k), fontweight="bold", path_effects=HALO, clip_on=True)
    axes.set_title("codes of held-out examples")
    for panel in beside:
        panel.imshow(decoded, extent=(-limit, limit, -limit, limit), interpolation="nearest")
        panel.set_title("what is decoded there")
    for panel in (axes, *beside):
        panel.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="$z_1$", ylabel="$z_2$")
    figure.suptitle(title, fontsize=13)
    return render(figure)


def _squares(figure: Figure, count: int) -> list[Axes]:
    """So many squares of four inches beside each other."""
    width, height = figure.get_size_inches()
    return [figure.add_axes(((0.75 + 4.75 * i) / width, 0.5 / height, 4 / width, 4 / height)) for i in range(count)]


def cloud_frame(real: np.ndarray, generated: np.ndarray, frame: Frame) -> np.ndarray:
    """Generated points (N, 2) over real ones (M, 2)."""
    axes = _plane(frame)
    axes.scatter(*real.T, s=5, color="0.7", linewidths=0, label="real")
    axes.scatter(*generated.T, s=6, color="C1", alpha=0.7, linewidths=0, label="generated")
    axes.legend(frameon=False, loc="upper right", markerscale=3)
    frame.put_around(axes)
    axes.set_aspect("equal" if to_scale(*frame.axes) else "auto")
    return render(axes.figure)
