"""Figures over the jobs of a multirun or of a search."""

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from pmodel.plots.plots import new_axes, render

# They tell lines apart for who can't by their colours.
MARKERS = "os^Dv"


def curves_with_spread(
    curves: dict[str, list[tuple[float, float, float]]],
    x_label: str,
    y_label: str,
    band: str,
    log_x: bool = False,
    x_names: dict[float, str] | None = None,
) -> np.ndarray:
    """Named curves of (x, mean, spread), the spread as a band around the mean; one image, uint8.

    A NaN for a spread, where there is one value only, has no band. The axis is marked at the x that occur.

    band: what the spread is, "standard error" or "standard deviation over jobs"
    x_names: what to write at some of these x instead of the number
    """
    names = x_names or {}
    axes = new_axes(6.4, 4.4)
    for i, (name, points) in enumerate(curves.items()):
        x, mean, spread = (np.array(part) for part in zip(*points, strict=True))
        axes.plot(x, mean, color=f"C{i}", marker=MARKERS[i % len(MARKERS)], markersize=5, label=name)
        axes.fill_between(x, mean - spread, mean + spread, color=f"C{i}", alpha=0.2, linewidth=0)
    if log_x:
        axes.set_xscale("log")
    ticks = sorted({x for points in curves.values() for x, _, _ in points})
    if len(ticks) <= 12:
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: names.get(x, f"{x:,.6g}")))
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    if any(curves):
        has_band = any(np.isfinite(spread) for points in curves.values() for _, _, spread in points)
        axes.legend(frameon=False, title=f"band: {band}" if has_band else None)
    return render(axes.figure)


def search_history(done: dict[int, float], pruned: dict[int, float], minimize: bool) -> np.ndarray:
    """Value over number of trial, and the best so far as a line; of pruned ones the last value they had. uint8.

    The axis shows the better three quarters: one diverged trial would hide how the others differ. Those beyond are
    triangles at its edge.
    """
    axes = new_axes(6.4, 4.0)
    low, high = -np.inf, np.inf
    if done:
        everything = np.array([*done.values(), *pruned.values()])
        low, high = np.quantile(everything, [0.0, 0.75] if minimize else [0.25, 1.0])
        margin = 0.1 * (high - low)
        low, high = (low - margin, high + margin) if margin > 0 else (-np.inf, np.inf)
    beyond = [trial for trial, value in (*done.items(), *pruned.items()) if not low <= value <= high]
    for values, marker, label in ((done, "o", "to its end"), (pruned, "x", "pruned")):
        inside = {trial: value for trial, value in values.items() if low <= value <= high}
        if inside:
            axes.plot(list(inside), list(inside.values()), marker, color="C0", alpha=0.7, label=label)
    if beyond:
        edge, marker = (high, "^") if minimize else (low, "v")
        axes.plot(beyond, [edge] * len(beyond), marker, color="C7", clip_on=False, label="beyond the axis")
    if done:
        best = np.minimum if minimize else np.maximum
        axes.step(list(done), best.accumulate(list(done.values())), where="post", color="C1", label="best so far")
        if np.isfinite([low, high]).all():
            axes.set_ylim(low, high)
        axes.legend(frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel="the monitor of the model")
    axes.grid(alpha=0.3)
    return render(axes.figure)
