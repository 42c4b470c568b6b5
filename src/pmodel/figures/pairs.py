"""Points of three dimensions or more, which no single plane shows."""

import numpy as np
from lightning.pytorch import LightningModule

from pmodel.capabilities import Assigns, Clusters, Samples
from pmodel.figures.densities import values_at
from pmodel.figures.figure import Figure, NotShown, Scene, dimensions
from pmodel.figures.images import fixed_generator
from pmodel.settings.ranges import Count

MIN_DIMS = 3


class Pairs(Figure):
    """Each of the first columns against each other: training points, coloured by cluster if the model has clusters;
    else, beside them, as many draws from a model that can sample."""

    group = "samples"
    caption = "Real and generated points, two coordinates at a time."

    def __init__(self, num_points: Count, num_columns: Count):
        self.num_points, self.num_columns = num_points, num_columns

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        x = scene.data.examples("train", self.num_points).x
        if x.dim() != 2:
            raise NotShown("the data are images, not points")
        if x.shape[1] < MIN_DIMS:
            raise NotShown(f"the points have {dimensions(x.shape[1])}, not {MIN_DIMS} or more")
        if not isinstance(model, Assigns | Samples):
            raise NotShown("the model neither clusters nor samples")
        from pmodel.plots.plots import pairs

        shown = min(self.num_columns, x.shape[1])
        labels = samples = centres = None
        if isinstance(model, Assigns):
            labels, what = values_at(x.numpy(), model.assign, model.device), "by cluster"
            if isinstance(model, Clusters):
                centres = scene.restored(model.clusters()[0].cpu().double())[:, :shown]
        else:
            drawn = model.sample(len(x), generator=fixed_generator(model.device)).cpu()
            samples = scene.restored(drawn)[:, :shown]
            what = "and as many draws x ~ p(x)"
        columns = "" if shown == x.shape[1] else f", the first {shown} of {x.shape[1]} columns"
        title = f"{len(x):,} training points {what} {scene.moment}{columns}"
        names = scene.axis_names(x.shape[1])[:shown]
        return pairs(scene.restored(x)[:, :shown], labels, samples, centres, title, names)
