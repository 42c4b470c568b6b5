"""Principal components as images or arrows."""

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import PrincipalComponents
from pmodel.figures.figure import Figure, Scene, are_images, need
from pmodel.plots.frame import Frame, axis_through
from pmodel.plots.grids import captioned_grid, columns_for, side_by_side
from pmodel.settings.ranges import Count


def around_grey(directions: Tensor) -> Tensor:
    """Directions (M, C, H, W) as images: 0 is grey, 0.5, and the largest size in each is black or white."""
    largest = directions.flatten(1).abs().amax(1).clamp_min(torch.finfo(directions.dtype).tiny)
    return 0.5 + 0.5 * directions / largest[:, None, None, None]


class PrincipalComponentsFigure(Figure):
    """The mean and the first directions as images, with their shares of the variance.

    Points in the plane get arrows instead, from the mean, of one standard deviation along each direction.
    """

    group = "codes"
    caption = "The directions of largest variance: every example is described as the mean plus so much of each."

    def __init__(self, num_components: Count):
        self.num_components = num_components

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, PrincipalComponents)
        return drawn_components(scene, *model.principal_components(), self.num_components, "")


def drawn_components(
    scene: Scene, mean: Tensor, directions: Tensor, shares: Tensor, num_components: int, moment: str
) -> np.ndarray:
    """The mean (…), the first directions (M, …) and their shares (M,) of the variance, as images or arrows.

    moment: when they were so, for the title
    """
    mean, directions, shares = mean.cpu(), directions.cpu(), shares.cpu()
    if are_images(directions, (2,)):
        shown = directions[:num_components]
        captions = ["mean", *(f"{k}: {share:.1%}" for k, share in enumerate(shares[: len(shown)].tolist(), 1))]
        images = captioned_grid(torch.cat([mean[None], around_grey(shown)]), captions, columns_for(len(captions)))
        title = f"mean and components{moment} (0 grey, + white, - black), share of variance"
        return side_by_side({title: images})
    from pmodel.plots.plots import principal_axes

    x = scene.data.examples("train", 2000).x.double()
    deviations = (shares.double() * x.var(0, correction=0).sum()).sqrt()
    points, mean, tips = map(scene.restored, (x, mean, mean + deviations[:, None] * directions))
    title = f"principal components{moment}: share of the variance,\narrows of one standard deviation"
    frame = Frame([axis_through(column, 2) for column in points.T], scene.axis_names(2), title)
    return principal_axes(points, mean, tips, shares.numpy(), frame)
