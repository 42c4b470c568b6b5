"""The clusters of a model: their centres as images, or points coloured by cluster."""

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Assigns, Clusters
from pmodel.figures.densities import on_lattice, values_at
from pmodel.figures.figure import Figure, Scene, need, need_images, need_points
from pmodel.plots.frame import axis_through
from pmodel.plots.grids import captioned_grid, columns_for, side_by_side
from pmodel.settings.ranges import Count


def counts(scene: Scene, shares: Tensor) -> Tensor:
    """How many training examples shares (K,) of them are, (K,) int64; rounded, since a mixture shares them out."""
    return (shares.double() * scene.data.split_sizes["train"]).round().long()


class ClusterCentres(Figure):
    """The centres as images, the largest clusters first; below each its share and count of the training examples."""

    group = "clusters"
    caption = "The mean of each cluster: what the model takes for the typical examples."

    def __init__(self, num_centres: Count):
        self.num_centres = num_centres

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Clusters)
        centres, shares = (part.cpu() for part in model.clusters())
        need_images(centres)
        shown = shares.argsort(descending=True, stable=True)[: self.num_centres]
        numbers = zip(shares[shown].tolist(), counts(scene, shares)[shown].tolist(), strict=True)
        captions = [f"{share:.1%}\n{count:,}" for share, count in numbers]
        title = f"{len(centres):,} centres" if len(centres) != 1 else "1 centre"
        if len(shown) < len(centres):
            title = f"the {len(shown)} largest of {title}"
        title += ", share and count of the training examples"
        return side_by_side({title: captioned_grid(centres[shown], captions, columns_for(len(shown)))})


class ClusterMap(Figure):
    """Training points on the line or in the plane coloured by cluster, over the clusters' regions.

    At each centre, where the model has them, stands how many training examples belong to it.
    """

    group = "clusters"
    caption = "Examples, coloured by the cluster that the model assigned them to."
    keeps_history = True

    def __init__(self, num_points: Count):
        self.num_points = num_points

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Assigns)
        x = need_points(scene.data.examples("train", self.num_points).x).numpy()
        from pmodel.plots.clusters import cluster_map_on_line, cluster_map_on_plane

        labels = values_at(x, model.assign, model.device)
        title, centres = f"{len(x):,} training points by cluster {scene.moment}", None
        if isinstance(model, Clusters):
            places, shares = (part.cpu() for part in model.clusters())
            centres = scene.restored(places.double()), counts(scene, shares).numpy()
            empty = int((centres[1] == 0).sum())
            title += f"\n{len(places):,} centres{f', {empty:,} of them empty' if empty else ''}, and how many"
            title += f" of all {scene.data.split_sizes['train']:,} belong to each"
        # Borders between regions are straight enough on an even axis.
        axes = [np.linspace(axis[0], axis[-1], 500) for axis in (axis_through(column, 2) for column in x.T)]
        regions = on_lattice(axes, model.assign, model.device)
        draw = cluster_map_on_line if len(axes) == 1 else cluster_map_on_plane
        return draw(scene.restored(x), labels, scene.frame(axes, title), regions, centres)
