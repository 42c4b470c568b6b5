"""Figures over the jobs of a multirun or of a search."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from PIL import Image

from pmodel.plots.grids import in_rows
from pmodel.plots.palette import cluster_color
from pmodel.plots.plots import new_axes, new_figure, render, rows_and_columns
from pmodel.plots.plots import panels as make_panels

# An axis is logarithmic where its largest value is so many times the smallest.
WIDE = 30

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
    axes = new_axes(6.4, 4.4)
    _draw_with_spread(axes, curves, log_x, x_names or {})
    axes.set(xlabel=x_label, ylabel=y_label)
    if any(curves):
        axes.legend(frameon=False, title=f"band: {band}" if _have_spread(curves) else None)
    return render(axes.figure)


Points = list[tuple[float, float, float]]


def numbers_over_setting(panels: dict[str, Points], x_label: str, band: str) -> np.ndarray:
    """A panel for each number, under its name: points of (x, mean, spread), joined, the spread as a band; uint8.

    An axis along which values rise more than WIDE times is logarithmic.
    """
    rows, columns = rows_and_columns(len(panels), 2)
    figure = new_figure(5.6 * columns, 3.9 * rows)
    for axes, (title, points) in zip(make_panels(figure, len(panels), 2), panels.items(), strict=True):
        x, mean, _ = zip(*points, strict=True)
        _draw_with_spread(axes, {title: points}, _is_wide(x), {})
        if _is_wide(mean):
            axes.set_yscale("log")
        axes.set(xlabel=x_label)
        axes.set_title(fill(title, 48), fontsize=11)
    if any(map(_have_spread, ({"": points} for points in panels.values()))):
        figure.supxlabel(f"band: {band}", fontsize=9, color="0.35")
    return render(figure)


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > WIDE * min(values)


def _have_spread(curves: dict[str, Points]) -> bool:
    return any(np.isfinite(spread) for points in curves.values() for _, _, spread in points)


def _draw_with_spread(axes: Axes, curves: dict[str, Points], log_x: bool, names: dict[float, str]) -> None:
    """Named curves of (x, mean, spread); the axis is marked at the x that occur, of which some have names."""
    for i, (name, points) in enumerate(curves.items()):
        x, mean, spread = (np.array(part) for part in zip(*points, strict=True))
        axes.plot(x, mean, color=cluster_color(i), marker=MARKERS[i % len(MARKERS)], markersize=5, label=name)
        axes.fill_between(x, mean - spread, mean + spread, color=cluster_color(i), alpha=0.2, linewidth=0)
    if log_x:
        axes.set_xscale("log")
    ticks = sorted({x for points in curves.values() for x, _, _ in points})
    if len(ticks) <= 12:
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: names.get(x, f"{x:,.6g}")))
    axes.grid(alpha=0.3)


def figures_by_value(files: dict[str, Path]) -> np.ndarray:
    """Images in files, each below its name, three in a row, or two where one is wide; shrunk if need be; uint8."""
    images = {}
    for name, file in files.items():
        with Image.open(file) as image:
            images[name] = image.convert("RGB")
    columns, width = (2, 720) if max(image.width for image in images.values()) > 700 else (3, 460)
    for name, image in images.items():
        scale = min(1, width / image.width)
        size = round(scale * image.width), round(scale * image.height)
        images[name] = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
    return in_rows(images, columns)


def importances(shares: dict[str, float], count: int) -> np.ndarray:
    """A bar for each setting, the longest on top: its share of what moves the value of a search's trials; uint8.

    count: of the trials
    """
    axes = new_axes(7, 1.3 + 0.42 * len(shares))
    ordered = sorted(shares.items(), key=lambda share: share[1])
    bars = axes.barh([name for name, _ in ordered], [100 * share for _, share in ordered], color="C0", height=0.6)
    axes.bar_label(bars, [f"{share:.0%}" for _, share in ordered], padding=4)
    axes.set(xlim=(0, 108), xlabel="share of the differences between trials that it explains (%)")
    axes.set_title(f"importance of the settings, fANOVA of {count} trials", fontsize=11)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
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
