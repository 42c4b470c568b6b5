"""Curves and clouds of points, drawn with matplotlib: arrays in, one uint8 image out."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pmodel.plots.frame import Curve, Frame, ratio, to_scale
from pmodel.plots.palette import cluster_color

DPI = 110
BINS = 40
# A legend of more groups would be longer than the plot.
MOST_NAMED = 20
# Around text that stands on a plot.
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """A figure of its own, in inches; no global state, so it can be drawn anywhere."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> Axes:
    """The only axes of a new figure."""
    return new_figure(width, height).subplots()


def render(figure: Figure) -> np.ndarray:
    """The figure as (height, width, 3), uint8."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def curves(series: dict[str, dict[str, Curve]], best: tuple[int, float] | None = None) -> np.ndarray:
    """One panel per quantity, four in a row at most; in each, named curves (epochs, values).

    `series` maps the panel's title to its curves, for example {"loss": {"train": (…), "val": (…)}}. Of several
    quantities in one panel the names are "quantity, split": a colour for each quantity, its second curve dashed.
    `best` is the epoch of best.ckpt, a line in each panel, and its value in the first one.
    """
    rows, columns = rows_and_columns(len(series), 4)
    lines_of_title = 1 + max(title.count("\n") for title in series)
    top = 0.1 + 0.25 * lines_of_title
    width, height = 4.2 * columns, (2.85 + top) * rows
    # Margins in inches: to look for the smallest takes longer than to draw, and this is drawn while a model learns.
    figure = new_figure(width, height, layout=None)
    gap = (0.55 + top) / (height / rows - 0.55 - top)
    figure.subplots_adjust(0.7 / width, 0.55 / height, 1 - 0.15 / width, 1 - top / height, 0.25, gap)
    colours = {"train": cluster_color(0), "val": cluster_color(1)}
    for axes, (title, lines) in zip(panels(figure, len(series), 4), series.items(), strict=True):
        seen = set()
        for name, (x, y) in lines.items():
            quantity = name.partition(",")[0].removesuffix(" (averaged weights)")
            style = "--" if quantity in seen else "-"
            seen.add(quantity)
            colour = colours.setdefault(quantity, cluster_color(len(colours)))
            axes.plot(x, y, label=name, color=colour, linestyle=style, marker="." if len(x) < 20 else None)
        # The first epochs of many runs are far off; without a cut they flatten the rest into a line.
        values = np.concatenate([y[len(y) // 10 :] for _, y in lines.values()])
        low, high = np.nanmin(values), np.nanmax(values)
        if np.isfinite([low, high]).all() and high > low:
            axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        if best is not None:
            said = f"best.ckpt: {best[1]:.4g}, epoch {best[0]}".replace("-", "−")
            named = {"label": said} if axes is figure.axes[0] else {}
            axes.axvline(best[0], color="0.3", linestyle=":", linewidth=1.4, zorder=1, **named)
        axes.set_title(title, fontsize=12 if len(title) < 34 else 9.5)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return render(figure)


def rows_and_columns(count: int, most: int) -> tuple[int, int]:
    """Rows and columns for `count` panels, `most` in a row: rows that are as full as each other, as far as can be."""
    rows = -(-count // most)
    return rows, -(-count // rows)


def panels(figure: Figure, count: int, most: int, **shared: bool) -> list[Axes]:
    """The axes of `count` panels, in such rows."""
    places = figure.subplots(*rows_and_columns(count, most), squeeze=False, **shared).ravel()
    for axes in places[count:]:
        axes.remove()
    return list(places[:count])


def clouds(groups: dict[str, np.ndarray], names: Sequence[str] = ()) -> np.ndarray:
    """Clouds of 1-D or 2-D points (N, D), each in a panel of its own with the same axes: histograms or scatters.

    Four panels in a row at most. `names` are those of the axes, if any.
    """
    rows, columns = rows_and_columns(len(groups), 4)
    everything = np.concatenate(list(groups.values()))
    low, high = np.nanmin(everything, axis=0), np.nanmax(everything, axis=0)
    margin = 0.05 * (high - low) + 1e-6
    is_line = everything.shape[1] == 1
    is_to_scale = not is_line and to_scale(*everything.T)
    height = 3.7 * (high[1] - low[1]) / (high[0] - low[0]) + 0.5 if is_to_scale else 4.2
    figure = new_figure(4 * columns, rows * min(max(height, 1.8), 4.2))
    # Of axes to scale, another layout than that takes too little room for the titles.
    figure.set_layout_engine("compressed")
    for axes, (title, points) in zip(panels(figure, len(groups), 4, sharey=is_line), groups.items(), strict=True):
        axes.set_title(title)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set(**dict(zip(("xlabel", "ylabel"), names, strict=False)))
        if is_line:
            axes.hist(points[:, 0], bins=80, range=(low[0], high[0]), density=True)
            axes.tick_params(labelleft=True)
            continue
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        axes.scatter(*points.T, s=4, alpha=0.5, linewidths=0)
        axes.set_aspect("equal" if is_to_scale else "auto")
        axes.locator_params(nbins=6)
    return render(figure)


def clouds_over(real: np.ndarray, groups: dict[str, np.ndarray], title: str) -> np.ndarray:
    """Clouds of points (N, 2), each in a small panel over the same real one, (M, 2), whose range the panels show."""
    rows, columns = rows_and_columns(len(groups), 6)
    width = max(2.3 * columns, 5)
    height = width / columns * float(np.clip(ratio(*real.T), 0.4, 1.1))
    figure = new_figure(width, (height + 0.35) * rows + 0.8)
    low, high = real.min(0), real.max(0)
    margin = 0.25 * (high - low) + 1e-6
    for axes, (name, points) in zip(panels(figure, len(groups), 6), groups.items(), strict=True):
        axes.scatter(*real.T, s=3, color="0.75", linewidths=0, label="real")
        axes.scatter(*points.T, s=4, color="C1", alpha=0.7, linewidths=0, label="generated")
        axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
        axes.set_aspect("equal" if to_scale(*real.T) else "auto")
        axes.set_title(name, fontsize=10)
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
    figure.suptitle(title)
    entries = figure.axes[0].get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=2, frameon=False, markerscale=3)
    return render(figure)


def pairs(
    points: np.ndarray,
    labels: np.ndarray | None,
    samples: np.ndarray | None,
    centres: np.ndarray | None,
    title: str,
    names: Sequence[str],
    groups: Sequence[str] = (),
) -> np.ndarray:
    """Each column of points (N, D) against each other, and histograms of each alone.

    labels: (N,), colour the points; samples (M, D), of a model, drawn beside them; centres (K, D), marked; names (D,)
    groups: the names of the labels
    """
    D = points.shape[1]
    figure = new_figure(2.1 * D + 1, 2.1 * D + 0.6)
    colors = "0.35" if labels is None else [cluster_color(k) for k in labels]
    for i, row in enumerate(figure.subplots(D, D, squeeze=False, sharex="col")):
        for axes in row[i + 1 :]:
            axes.remove()
        for j, axes in enumerate(row[: i + 1]):
            if i == j:
                bins = np.histogram_bin_edges(points[:, i], min(BINS, max(10, len(points) // 8)))
                axes.hist(points[:, i], bins, density=True, color="0.6", label="data")
                if samples is not None:
                    axes.hist(samples[:, i], bins, density=True, histtype="step", color="C1", label="samples")
                axes.set_yticks([])
            else:
                size = float(np.clip(1500 / len(points), 4, 16))
                axes.scatter(points[:, j], points[:, i], s=size, c=colors, alpha=0.5, linewidths=0)
                if samples is not None:
                    axes.scatter(samples[:, j], samples[:, i], s=4, c="C1", alpha=0.5, linewidths=0)
                if centres is not None:
                    axes.scatter(centres[:, j], centres[:, i], s=30, c="white", marker="X", edgecolors="black")
            axes.ticklabel_format(useOffset=False)
            axes.tick_params(labelsize=7)
            axes.locator_params(nbins=4)
            if i == D - 1:
                axes.set_xlabel(names[j])
            if j == 0:
                axes.set_ylabel(names[i])
    if samples is not None:
        figure.axes[0].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    add_legend(figure, groups)
    figure.suptitle(title)
    return render(figure)


def grouped(groups: dict[str, np.ndarray], names: Sequence[str], title: str) -> np.ndarray:
    """Points (N_k, D) of named groups, mixed: stacked histograms for D = 1, a scatter for D = 2, else pairs of columns.

    names: of the D columns
    """
    points = np.concatenate(list(groups.values()))
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups.values()])
    mixed = np.random.default_rng(0).permutation(len(points))
    names, groups = [plain(name) for name in names], {plain(name): group for name, group in groups.items()}
    title = "\n".join(fill(line, 90) for line in plain(title).split("\n"))
    D = points.shape[1]
    if D > 2:
        return pairs(points[mixed], labels[mixed], None, None, title, names, list(groups))
    axes = new_axes(7.4, 5)
    if D == 1:
        colors = [cluster_color(k) for k in range(len(groups))]
        axes.hist([group[:, 0] for group in groups.values()], BINS, stacked=True, color=colors)
    else:
        colors = [cluster_color(k) for k in labels[mixed]]
        axes.scatter(*points[mixed].T, s=8, c=colors, alpha=0.8, linewidths=0)
        axes.set_aspect("equal" if to_scale(*points.T) else "auto")
    axes.set(xlabel=names[0], ylabel="examples" if D == 1 else names[1])
    add_legend(axes.figure, list(groups))
    axes.figure.suptitle(title, fontsize=11)
    return render(axes.figure)


def plain(text: str) -> str:
    """A text in which a $ begins no formula."""
    return text.replace("$", r"\$")


def add_legend(figure: Figure, groups: Sequence[str]) -> None:
    """What the colours of groups mean, where these are a few."""
    if 1 < len(groups) <= MOST_NAMED:
        handles = [Patch(color=cluster_color(k), label=name) for k, name in enumerate(groups)]
        figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)


def principal_axes(
    points: np.ndarray, mean: np.ndarray, tips: np.ndarray, shares: np.ndarray, frame: Frame
) -> np.ndarray:
    """Points (N, 2) and, from the mean (2,), arrows to the places (M, 2) one standard deviation along directions."""
    axes = new_axes(*frame.size(6.4))
    axes.scatter(*points.T, s=6, alpha=0.4, linewidths=0)
    x, y = frame.axes
    unit = 1.0 if to_scale(x, y) else np.array([np.ptp(x), np.ptp(y)])
    for k, (tip, share) in enumerate(zip(tips, shares, strict=True)):
        arrow = {"arrowstyle": "-|>", "color": "C1", "linewidth": 2.2, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", tip, mean, arrowprops=arrow)
        seen = (tip - mean) / unit
        direction = seen / max(np.linalg.norm(seen), np.finfo(float).tiny)
        offset = {"xytext": tuple(direction * (30, 14)), "textcoords": "offset points", "ha": "center", "va": "center"}
        axes.annotate(f"{k + 1}: {share:.1%}", tip, **offset, path_effects=HALO)
    frame.put_around(axes)
    return render(axes.figure)
