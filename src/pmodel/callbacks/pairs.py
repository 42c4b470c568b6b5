"""Points of three dimensions or more, which no single plane shows."""

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from pmodel.callbacks.densities import moment, values_at
from pmodel.callbacks.figures import Figure
from pmodel.callbacks.pictures import fixed_generator
from pmodel.capabilities import Assigns, Clusters, Samples

MIN_DIMS = 3


class Pairs(Figure):
    """Each of the first columns against each other: training points, coloured by cluster if the model has clusters;
    else, beside them, as many draws from a model that can sample."""

    name = "pairs"

    def __init__(self, num_points: int = 1000, num_columns: int = 5):
        for name, value in (("num_points", num_points), ("num_columns", num_columns)):
            if value < 1:
                raise ValueError(f"callbacks.figures.include.pairs.{name}={value}: expected at least 1")
        self.num_points, self.num_columns = num_points, num_columns

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        x = trainer.datamodule.examples("train", self.num_points).x
        if x.dim() != 2 or x.shape[1] < MIN_DIMS or not isinstance(model, Assigns | Samples):
            return None
        from pmodel.reporting.pairs import pairs

        shown = min(self.num_columns, x.shape[1])
        labels = samples = centres = None
        if isinstance(model, Assigns):
            labels, what = values_at(x.numpy(), model.assign, model.device), "by cluster"
            if isinstance(model, Clusters):
                centres = model.clusters()[0].cpu().double().numpy()[:, :shown]
        else:
            samples = model.sample(len(x), generator=fixed_generator(model.device)).cpu().numpy()[:, :shown]
            what = "and as many draws x ~ p(x)"
        columns = "" if shown == x.shape[1] else f", the first {shown} of {x.shape[1]} columns"
        title = f"{len(x):,} training points {what} {moment(trainer)}{columns}"
        return pairs(x.numpy()[:, :shown], labels, samples, centres, title)
