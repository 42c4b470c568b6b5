"""The history of a search, as a picture."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from pmodel.reporting.plots import new_figure, render


def search_history(done: dict[int, float], pruned: dict[int, float], minimize: bool) -> np.ndarray:
    """Value over number of trial, and the best so far as a line; of pruned ones the last value they had. uint8.

    The axis shows the better three quarters: one diverged trial would hide how the others differ.
    """
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    for values, marker, label in ((done, "o", "to its end"), (pruned, "x", "pruned")):
        if values:
            axes.plot(list(values), list(values.values()), marker, color="C0", alpha=0.7, label=label)
    if done:
        best = np.minimum if minimize else np.maximum
        axes.step(list(done), best.accumulate(list(done.values())), where="post", color="C1", label="best so far")
        everything = np.array([*done.values(), *pruned.values()])
        low, high = np.quantile(everything, [0.0, 0.75] if minimize else [0.25, 1.0])
        margin = 0.1 * (high - low)
        if margin > 0:
            axes.set_ylim(low - margin, high + margin)
        axes.legend(frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel="value")
    axes.grid(alpha=0.3)
    return render(figure)
