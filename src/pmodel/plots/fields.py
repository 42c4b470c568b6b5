"""A discriminator's verdicts on the line and in the plane, drawn with matplotlib: arrays in, one uint8 image out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from pmodel.plots.frame import Frame
from pmodel.plots.plots import new_axes, render

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
    real: np.ndarray, generated: np.ndarray, frame: Frame, verdicts: np.ndarray, label: str
) -> np.ndarray:
    """Verdicts (len(y), len(x)) on the lattice of even coordinates as a field, below real and generated points (N, 2).

    Where all are between 0 and 1, as probabilities are, a line shows where they are ½.

    label: what the verdicts are
    """
    width, height = frame.size(6.2)
    axes = new_axes(width + 1.0, height + 0.3)
    put_field(axes, real, generated, frame, verdicts, label)
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, markerscale=2)
    return render(axes.figure)


def put_field(
    axes: Axes,
    real: np.ndarray,
    generated: np.ndarray,
    frame: Frame,
    verdicts: np.ndarray,
    label: str,
    bar: Axes | None = None,
) -> None:
    """The same on axes, without a legend, with a colour bar on those of its own, or beside them."""
    low, high = verdict_range(verdicts)
    field = axes.imshow(
        verdicts, cmap=VERDICTS, vmin=low, vmax=high, origin="lower", extent=frame.extent, interpolation="bilinear"
    )
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    beyond = bool((verdicts < low).any()), bool((verdicts > high).any())
    axes.figure.colorbar(field, cax=bar, ax=axes, label=label, extend=extend[beyond])
    if (low, high) == (0.0, 1.0) and np.isfinite(verdicts).all() and verdicts.min() < 0.5 < verdicts.max():
        axes.contour(*frame.axes, verdicts, [0.5], colors="0.45", linewidths=0.8)
        axes.plot([], [], color="0.45", linewidth=0.8, label="D(x) = ½")
    size = float(np.clip(8000 / len(real), 2, 14))
    for points, colour, whose in ((real, REAL, "real"), (generated, GENERATED, "generated")):
        axes.scatter(*points.T, s=size, color=colour, alpha=0.6, linewidths=0, label=whose)
    frame.put_around(axes)
    axes.title.set_fontsize(11)


def field_on_line(
    real: np.ndarray, generated: np.ndarray, frame: Frame, verdicts: np.ndarray, label: str
) -> np.ndarray:
    """Histograms of real and generated points (N, 1), and the curve of the verdicts (M,) on a second scale."""
    axes, (axis,) = new_axes(7.4, 4.6), frame.axes
    edges = np.linspace(axis[0], axis[-1], int(np.clip(2 * len(real) ** 0.5, 10, 80)) + 1)
    for points, colour, whose in ((real, REAL, "real"), (generated, GENERATED, "generated")):
        weights = np.full(points.shape, 1 / (max(len(points), 1) * (edges[1] - edges[0])))
        axes.hist(points, edges, weights=weights, color=colour, alpha=0.3)
        axes.hist(points, edges, weights=weights, color=colour, histtype="step", linewidth=1.2, label=whose)
    frame.put_around(axes)
    axes.set_ylabel("density")
    axes.title.set_fontsize(11)
    second = axes.twinx()
    second.plot(axis, verdicts, color="0.15", linestyle="--", linewidth=1.6, label="D(x)")
    low, high = verdict_range(verdicts)
    margin = 0.04 * (high - low)
    second.set(ylabel=label, ylim=(low - margin, high + margin))
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return render(axes.figure)
