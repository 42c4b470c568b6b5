"""The history of a search, as an image."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from pmodel.plots.plots import new_axes, render


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
    beyond = [trial for values in (done, pruned) for trial, value in values.items() if not low <= value <= high]
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
    axes.set(xlabel="trial", ylabel="what the model is judged by")
    axes.grid(alpha=0.3)
    return render(axes.figure)
