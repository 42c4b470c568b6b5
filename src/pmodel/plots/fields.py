"""A discriminator's verdicts on the line and in the plane, drawn with matplotlib: arrays in, one uint8 image out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from pmodel.plots.plots import NAMES, frame_plane, new_figure, plane_size, render

REAL, GENERATED = "#0b4a99", "#cf4307"
# Pale, so that points in the strong colours above stand out: what D takes for generated, unsure, for real.
VERDICTS = LinearSegmentedColormap.from_list("verdicts", ["#f9c79b", "#ffffff", "#a9d0f2"])


def axis_over(real: np.ndarray, generated: np.ndarray, count: int) -> np.ndarray:
    """Even, rising coordinates (count,) over the range of real values and, up to its own width beyond, of generated
    ones: a few samples that are far off don't make the rest small."""
    low, high = real.min(), real.max()
    width = (high - low) or 2.0
    inside = generated[np.abs(generated - (low + high) / 2) <= 1.5 * width]
    margin = 0.15 * width
    return np.linspace(inside.min(initial=low) - margin, inside.max(initial=high) + margin, count)


def verdict_range(verdicts: np.ndarray) -> tuple[float, float]:
    """Lowest and highest of a colour scale: 0 and 1 where all are in between, else of all but the last few of each end.

    Not finite ones don't count.
    """
    finite = verdicts[np.isfinite(verdicts)]
    if not finite.size or (finite.min() >= 0 and finite.max() <= 1):
        return 0.0, 1.0
    low, high = np.quantile(finite, [0.01, 0.99])
    return (float(low), float(high)) if high > low else (float(low) - 1, float(high) + 1)


def field_on_plane(
    real: np.ndarray,
    generated: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    verdicts: np.ndarray,
    label: str,
    title: str,
    names: Sequence[str] = NAMES,
) -> np.ndarray:
    """Verdicts (len(y), len(x)) on the lattice of even coordinates as a field, below real and generated points (N, 2).

    Where all are between 0 and 1, as probabilities are, a line shows where they are ½.
    """
    width, height = plane_size(x, y, 6.2)
    figure = new_figure(width + 1.0, height + 0.3)
    axes = figure.subplots()
    low, high = verdict_range(verdicts)
    extent = (x[0], x[-1], y[0], y[-1])
    field = axes.imshow(
        verdicts, cmap=VERDICTS, vmin=low, vmax=high, origin="lower", extent=extent, interpolation="bilinear"
    )
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    figure.colorbar(field, label=label, extend=extend[bool((verdicts < low).any()), bool((verdicts > high).any())])
    if (low, high) == (0.0, 1.0) and np.isfinite(verdicts).all() and verdicts.min() < 0.5 < verdicts.max():
        axes.contour(x, y, verdicts, [0.5], colors="0.45", linewidths=0.8)
        axes.plot([], [], color="0.45", linewidth=0.8, label="D(x) = ½")
    size = float(np.clip(8000 / len(real), 2, 14))
    for points, colour, name in ((real, REAL, "real"), (generated, GENERATED, "generated")):
        axes.scatter(points[:, 0], points[:, 1], s=size, color=colour, alpha=0.6, linewidths=0, label=name)
    frame_plane(axes, x, y, names)
    axes.set_title(title, fontsize=11)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, markerscale=2)
    return render(figure)


def field_on_line(
    real: np.ndarray,
    generated: np.ndarray,
    axis: np.ndarray,
    verdicts: np.ndarray,
    label: str,
    title: str,
    name: str = "x",
) -> np.ndarray:
    """Histograms of real and generated points (N,), and the curve of the verdicts (M,) at `axis` on a second scale."""
    figure = new_figure(7.4, 4.6)
    axes = figure.subplots()
    edges = np.linspace(axis[0], axis[-1], int(np.clip(2 * len(real) ** 0.5, 10, 80)) + 1)
    for points, colour, whose in ((real, REAL, "real"), (generated, GENERATED, "generated")):
        weights = np.full(len(points), 1 / (max(len(points), 1) * (edges[1] - edges[0])))
        axes.hist(points, edges, weights=weights, color=colour, alpha=0.3)
        axes.hist(points, edges, weights=weights, color=colour, histtype="step", linewidth=1.2, label=whose)
    axes.set(title=title, xlabel=name, ylabel="density", xlim=(axis[0], axis[-1]))
    axes.title.set_fontsize(11)
    second = axes.twinx()
    second.plot(axis, verdicts, color="0.15", linestyle="--", linewidth=1.6, label="D(x)")
    low, high = verdict_range(verdicts)
    margin = 0.04 * (high - low)
    second.set(ylabel=label, ylim=(low - margin, high + margin))
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return render(figure)
