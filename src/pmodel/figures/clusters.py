"""The clusters of a model: their centres as images, or points coloured by cluster."""

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Assigns, Clusters
from pmodel.figures.densities import values_at
from pmodel.figures.figure import Figure, NotShown, Scene
from pmodel.figures.shapes import few_dimensions, is_image, not_few_dimensions, not_images
from pmodel.plots.grids import captioned_grid, columns_for, side_by_side
from pmodel.settings.ranges import Count


def counts(scene: Scene, shares: Tensor) -> Tensor:
    """How many training examples shares (K,) of them are, (K,) int64; rounded, since a mixture shares them out."""
    return (shares.double() * scene.data.split_sizes["train"]).round().long()


class ClusterCentres(Figure):
    """The centres as images, the largest clusters first; below each its share and count of the training examples."""

    name = "centres"
    title = "Cluster centres"
    caption = "The mean of each cluster: what the model takes for the typical examples."

    def __init__(self, num_centres: Count):
        self.num_centres = num_centres

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
        if not isinstance(model, Clusters):
            return NotShown("the model has no clusters")
        centres, shares = (part.cpu() for part in model.clusters())
        if not is_image(centres):
            return not_images(centres)
        shown = shares.argsort(descending=True, stable=True)[: self.num_centres]
        captions = [
            f"{share:.1%}\n{count:,}"
            for share, count in zip(shares[shown].tolist(), counts(scene, shares)[shown].tolist(), strict=True)
        ]
        title = f"{len(centres):,} centres" if len(centres) != 1 else "1 centre"
        if len(shown) < len(centres):
            title = f"the {len(shown)} largest of {title}"
        title += ", share and count of the training examples"
        return side_by_side({title: captioned_grid(centres[shown], captions, columns_for(len(shown)))})


class ClusterMap(Figure):
    """Training points on the line or in the plane coloured by cluster, over the clusters' regions.

    At each centre, where the model has them, stands how many training examples belong to it.
    """

    name = "clusters"
    title = "Clusters"
    caption = "Examples, coloured by the cluster that the model assigned them to."
    keeps_history = True

    def __init__(self, num_points: Count):
        self.num_points = num_points

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
        if not isinstance(model, Assigns):
            return NotShown("the model has no assign")
        x = scene.data.examples("train", self.num_points).x
        if not few_dimensions(x):
            return not_few_dimensions(x)
        from pmodel.plots.clusters import cluster_map_on_line, cluster_map_on_plane
        from pmodel.plots.plots import axis_through, lattice

        x = x.numpy()
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
        x, shown, names = scene.restored(x), scene.restored_axes(axes), scene.axis_names(len(axes))
        if len(axes) == 1:
            regions = values_at(axes[0][:, None], model.assign, model.device)
            return cluster_map_on_line(x[:, 0], labels, *shown, regions, centres, title, *names)
        regions = values_at(lattice(*axes), model.assign, model.device).reshape(500, 500)
        return cluster_map_on_plane(x, labels, *shown, regions, centres, title, names)
