"""Figures over the jobs of a multirun."""

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pmodel.plots.plots import new_axes, render


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
        axes.plot(x, mean, color=f"C{i}", marker="o", markersize=4, label=name)
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
