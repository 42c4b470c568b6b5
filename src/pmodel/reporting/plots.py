"""Curves and clouds of points, drawn with matplotlib: arrays in, one uint8 picture out."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 110


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches; no global state, so it can be drawn anywhere."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure) -> np.ndarray:
    """The figure as (height, width, 3), uint8."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def curves(series: dict[str, dict[str, tuple[list[float], list[float]]]], x_label: str = "epoch") -> np.ndarray:
    """One panel per quantity; in each, named curves (x values, y values).

    `series` maps the panel's title to its curves, for example {"loss": {"train": (…), "val": (…)}}.
    """
    figure = new_figure(4.2 * len(series), 3.2)
    for axes, (title, lines) in zip(figure.subplots(1, len(series), squeeze=False)[0], series.items(), strict=True):
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name, marker="." if len(x) < 20 else None)
        # The first epochs of many runs are far off; without a cut they flatten the rest into a line.
        values = np.concatenate([y[len(y) // 10 :] for _, y in lines.values()])
        low, high = np.nanmin(values), np.nanmax(values)
        if np.isfinite([low, high]).all() and high > low:
            axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        axes.set(title=title, xlabel=x_label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return render(figure)


def clouds(groups: dict[str, np.ndarray]) -> np.ndarray:
    """Clouds of 1-D or 2-D points (N, D), each in a panel of its own with the same axes: histograms or scatters."""
    figure = new_figure(4 * len(groups), 4)
    everything = np.concatenate(list(groups.values()))
    low, high = np.nanmin(everything, axis=0), np.nanmax(everything, axis=0)
    margin = 0.05 * (high - low) + 1e-6
    for axes, (title, points) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items(), strict=True):
        axes.set_title(title)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        if points.shape[1] == 1:
            axes.hist(points[:, 0], bins=80, range=(low[0], high[0]), density=True)
            continue
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        axes.scatter(points[:, 0], points[:, 1], s=4, alpha=0.5, linewidths=0)
        axes.set_aspect("equal")
    return render(figure)


def labelled_scatter(points: np.ndarray, labels: np.ndarray, title: str) -> np.ndarray:
    """2-D points (N, 2) coloured by their labels (N,); −1 stands for no label."""
    figure = new_figure(6, 5.4)
    axes = figure.subplots()
    classes = np.unique(labels)
    for i, label in enumerate(classes):
        chosen = points[labels == label]
        name = "no label" if label < 0 else str(label)
        axes.scatter(chosen[:, 0], chosen[:, 1], s=8, alpha=0.7, linewidths=0, color=f"C{i % 10}", label=name)
    axes.set(title=title, xlabel="$z_1$", ylabel="$z_2$")
    axes.set_aspect("equal")
    if len(classes) > 1:
        axes.legend(frameon=False, markerscale=2, bbox_to_anchor=(1, 1), loc="upper left")
    return render(figure)
