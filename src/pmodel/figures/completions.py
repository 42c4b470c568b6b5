"""Images of which a model saw the upper half, completed several ways."""

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Completes, LogProbPerPixel
from pmodel.figures.figure import Figure, Scene, need
from pmodel.figures.images import fixed_generator
from pmodel.figures.widget import Widget, tiles_of
from pmodel.plots.grids import hidden, image_grid, side_by_side
from pmodel.settings.ranges import Count

# Images whose quarters a page's reader erases, and completions of each.
ERASED_IMAGES, ERASED_WAYS = 4, 3


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
        completed = _completed(model, x, known, self.num_ways)
        panels = {"given": (hidden(x, known), 1), "completions": (completed, self.num_ways), "original": (x, 1)}
        return side_by_side({title: image_grid(*images) for title, images in panels.items()})

    def widget(self, scene: Scene, model: LightningModule) -> Widget:
        need(model, Completes)
        x = scene.images(ERASED_IMAGES)
        lower, right = (torch.arange(size) >= size // 2 for size in x.shape[2:])
        quarter = 2 * lower[:, None] + 1 * right
        known = torch.stack([erased >> quarter & 1 == 0 for erased in range(1, 16)])
        # Each image without each set of its quarters.
        given, mask = x.repeat_interleave(15, 0), known.repeat(len(x), 1, 1)[:, None].expand(-1, x.shape[1], -1, -1)
        completed = _completed(model, given, mask, ERASED_WAYS)
        words = "Click on the quarters of the image to erase them: the model draws them anew, several times."
        if isinstance(model, LogProbPerPixel) and hasattr(model, "drawing_order"):
            from_top = (model.drawing_order().diff() == 1).all()
            order = "row by row from the top" if from_top else "a coarse image first"
            words += f" It draws pixel by pixel, {order}, and knows of each only what comes before it."
        tiles = np.concatenate([tiles_of(x), tiles_of(completed)])
        return Widget("erase", "Erase and complete", words, tiles, {"images": len(x), "ways": ERASED_WAYS})


def _completed(model: LightningModule, x: Tensor, known: Tensor, num_ways: int) -> Tensor:
    """Each image (N, C, H, W) completed so many times, one after the other."""
    given, mask = (part.repeat_interleave(num_ways, 0).to(model.device) for part in (x, known))
    return model.complete(given, mask, generator=fixed_generator(model.device))
