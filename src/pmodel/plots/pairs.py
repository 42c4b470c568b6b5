"""Points of several dimensions, two columns at a time."""

from collections.abc import Sequence

import numpy as np

from pmodel.plots.palette import cluster_color
from pmodel.plots.plots import new_figure, render


def pairs(
    points: np.ndarray,
    labels: np.ndarray | None,
    samples: np.ndarray | None,
    centres: np.ndarray | None,
    title: str,
    names: Sequence[str],
) -> np.ndarray:
    """Each column of points (N, D) against each other, and histograms of each alone.

    labels: (N,), colour the points; samples (M, D), of a model, drawn beside them; centres (K, D), marked; names (D,)
    """
    D = points.shape[1]
    figure = new_figure(2.1 * D + 1, 2.1 * D + 0.6)
    colors = "0.35" if labels is None else [cluster_color(k) for k in labels]
    for i, row in enumerate(figure.subplots(D, D, squeeze=False, sharex="col")):
        for axes in row[i + 1 :]:
            axes.remove()
        for j, axes in enumerate(row[: i + 1]):
            if i == j:
                bins = np.histogram_bin_edges(points[:, i], 40)
                axes.hist(points[:, i], bins, density=True, color="0.6", label="data")
                if samples is not None:
                    axes.hist(samples[:, i], bins, density=True, histtype="step", color="C1", label="samples")
                axes.set_yticks([])
            else:
                axes.scatter(points[:, j], points[:, i], s=4, c=colors, alpha=0.5, linewidths=0)
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
    figure.suptitle(title)
    return render(figure)
