"""What a fit of one epoch has found, in place of a curve over epochs; arrays in, one uint8 image out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pmodel.plots.plots import HALO, new_axes, new_figure, render

# Of so few components each has a dot.
FEW = 40


def spectrum(shares: np.ndarray) -> np.ndarray:
    """How much of the variance each of the first components (M,) explains, and how much they explain together.

    The left axis is logarithmic, and leaves out components that explain nothing.
    """
    figure = new_figure(10.4, 4)
    each, together = figure.subplots(1, 2)
    explains = np.flatnonzero(shares > 0)
    marker = "." if len(shares) < FEW else None
    each.plot(explains + 1, 100 * shares[explains], color="C0", marker=marker)
    if len(explains):
        each.set_yscale("log")
        each.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        each.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        each.yaxis.set_minor_formatter(NullFormatter())
    each.set(title="each component", xlabel="component", ylabel="share of the variance (%)")
    _cumulative(together, shares)
    rest = 1 - shares.sum()
    beyond = f"; all others {rest:.1%}" if rest > 5e-4 else ""
    together.set_title(f"the first ones together{beyond}")
    for axes in (each, together):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    return render(figure)


def _cumulative(axes: Axes, shares: np.ndarray) -> None:
    """How much of the variance the first components (M,) explain together, and how many explain 50, 90 and 95 %."""
    total = np.concatenate([[0], 100 * np.cumsum(shares)])
    axes.plot(total, color="C0", marker="." if len(shares) < FEW else None)
    for percent in (50, 90, 95):
        # Shares in float32 may add up to a little less.
        reached = np.flatnonzero(total >= percent - 1e-3)
        if len(reached):
            k = reached[0]
            axes.plot([k, k], [0, total[k]], color="0.5", linewidth=0.9, linestyle=":")
            axes.plot(k, total[k], "o", color="C1", markersize=5)
            offset = {"xytext": (6, -5), "textcoords": "offset points", "va": "top"}
            axes.annotate(f"{percent}% with {k:,}", (k, total[k]), **offset, fontsize=9, path_effects=HALO)
    axes.set(xlabel="components", ylabel="share of the variance (%)", xlim=(0, len(shares) * 1.02), ylim=(0, 103))


def bandwidths(widths: np.ndarray, log_prob: np.ndarray, used: int, x_label: str) -> np.ndarray:
    """The mean log-density of held-out examples (F,), nats, over rising bandwidths (F,), and the one that is used.

    The axis shows what is near the best: far too narrow kernels have log-densities of minus millions.

    used: its place
    """
    axes = new_axes(6.4, 4.2)
    axes.plot(widths, log_prob, color="C0", marker=".")
    axes.plot(widths[used], log_prob[used], "o", color="C1", markersize=8, label="the bandwidth of this model")
    best = log_prob.argmax()
    axes.plot(widths[best], log_prob[best], "x", color="0.2", markersize=9, label="the best of those shown")
    axes.set_xscale("log")
    # All that is wider than the best, where the curve falls slowly, and as much on the other side.
    span = max(log_prob[best] - log_prob[best:].min(), log_prob[best] - log_prob[used], 1e-6)
    axes.set_ylim(log_prob[best] - 1.3 * span, log_prob[best] + 0.35 * span)
    axes.set(xlabel=x_label, ylabel="mean log p(x) of held-out examples (nats)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    return render(axes.figure)
