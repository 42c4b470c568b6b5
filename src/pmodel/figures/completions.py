"""Images of which a model saw the upper half, completed several ways."""

import numpy as np
import torch
from lightning.pytorch import LightningModule

from pmodel.capabilities import Completes
from pmodel.figures.figure import Figure, Scene, need
from pmodel.figures.images import fixed_generator
from pmodel.plots.grids import hidden, image_grid, side_by_side
from pmodel.settings.ranges import Count


class Completions(Figure):
    """Validation images without their lower half, `num_ways` completions of each with fixed noise, the originals.

    The figure of occluded images of van den Oord et al. (Pixel Recurrent Neural Networks, 2016, arXiv 1601.06759).
    """

    group = "completions"
    caption = (
        "The model saw only the upper half of each held-out image and drew the rest several times: good "
        "completions fit what is given and still differ from each other."
    )

    def __init__(self, num_images: Count, num_ways: Count):
        self.num_images, self.num_ways = num_images, num_ways

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Completes)
        x = scene.images(self.num_images)
        known = torch.zeros_like(x, dtype=torch.bool)
        known[:, :, : x.shape[2] // 2] = True
        given, mask = (part.repeat_interleave(self.num_ways, 0).to(model.device) for part in (x, known))
        completed = model.complete(given, mask, generator=fixed_generator(model.device))
        panels = {"given": (hidden(x, known), 1), "completions": (completed, self.num_ways), "original": (x, 1)}
        return side_by_side({title: image_grid(*images) for title, images in panels.items()})
