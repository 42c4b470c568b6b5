"""The small image by which a report introduces a model."""

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Clusters, Reconstructs, Samples, SamplesClasses
from pmodel.figures.clusters import ClusterMap
from pmodel.figures.densities import DensityFigure
from pmodel.figures.figure import Figure, NotShown, Scene, are_images, need_images
from pmodel.figures.images import ReconstructionGrid, SampleGrid, fixed_generator
from pmodel.plots.grids import image_grid, side_by_side
from pmodel.settings.ranges import Count


class Glance(Figure):
    """One row of images: samples of a model that draws them; else, below a title, the centres of its largest clusters,
    or examples and their reconstructions. Of a class-conditional model, a sample of each class in turn.

    Of a model of points: its density, else its samples, its clusters or its reconstructions.
    """

    caption = "What a model makes, in one row."
    group = "glance"

    def __init__(self, num_images: Count, num_points: Count):
        self.num_images, self.num_points = num_images, num_points

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        x, _ = scene.held_out(self.num_images)
        if not are_images(x):
            return self._of_points(scene, model)
        if isinstance(model, Samples):
            title, rows = None, [self._samples(model)]
        elif isinstance(model, Clusters):
            centres, shares = model.clusters()
            title = "centres of the largest clusters"
            rows = [centres[shares.argsort(descending=True, stable=True)[: self.num_images]]]
        elif isinstance(model, Reconstructs):
            x = x.to(model.device)
            title, rows = "examples, and their reconstructions", [x, model.reconstruct(x)]
        else:
            raise NotShown("the model neither samples nor clusters nor reconstructs")
        images = image_grid(need_images(torch.cat(rows)), len(rows[0]))
        return side_by_side({title: images}) if title else images

    def _samples(self, model: LightningModule) -> Tensor:
        generator = fixed_generator(model.device)
        if isinstance(model, SamplesClasses) and model.num_classes is not None:
            label = torch.arange(self.num_images, device=model.device) % model.num_classes
            return model.sample_classes(label, generator=generator)
        return model.sample(self.num_images, generator=generator)

    def _of_points(self, scene: Scene, model: LightningModule) -> np.ndarray:
        for figure in (DensityFigure, SampleGrid, ClusterMap, ReconstructionGrid):
            try:
                return figure(self.num_points).draw(scene, model)
            except NotShown:
                continue
        raise NotShown("the model has no density, and neither samples nor clusters nor reconstructs")
