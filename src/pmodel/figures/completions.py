"""Images of which a model saw the upper half, completed several ways."""

import numpy as np
import torch
from lightning.pytorch import LightningModule

from pmodel.capabilities import Completes
from pmodel.figures.figure import Figure, NotShown, Scene
from pmodel.figures.images import fixed_generator
from pmodel.figures.shapes import is_image, not_images
from pmodel.plots.grids import hidden, image_grid, side_by_side
from pmodel.settings.ranges import Count


class Completions(Figure):
    """Validation images without their lower half, `num_ways` completions of each with fixed noise, the originals.

    The figure of occluded images of van den Oord et al. (Pixel Recurrent Neural Networks, 2016, arXiv 1601.06759).
    """

    name = "completions"
    title = "Completions"
    caption = (
        "The model saw only the upper half of each held-out image and drew the rest several times: good "
        "completions fit what is given and still differ from each other."
    )

    def __init__(self, num_images: Count, num_ways: Count):
        self.num_images, self.num_ways = num_images, num_ways

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
        if not isinstance(model, Completes):
            return NotShown("the model has no complete")
        x = scene.data.examples("validation", self.num_images).x
        if not is_image(x):
            return not_images(x)
        known = torch.zeros_like(x, dtype=torch.bool)
        known[:, :, : x.shape[2] // 2] = True
        given, mask = (part.repeat_interleave(self.num_ways, 0).to(model.device) for part in (x, known))
        completed = model.complete(given, mask, generator=fixed_generator(model.device))
        return side_by_side(
            {
                "given": image_grid(hidden(x, known), 1),
                "completions": image_grid(completed, self.num_ways),
                "original": image_grid(x, 1),
            }
        )
