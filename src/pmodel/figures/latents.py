"""Images of a two-dimensional latent space."""

import numpy as np
import torch
from lightning.pytorch import LightningModule

from pmodel.capabilities import Decodes, Discriminates, Encodes, SamplesLatents
from pmodel.figures.figure import Figure, NotShown, Scene, dimensions, need, need_images
from pmodel.plots.grids import image_grid, side_by_side
from pmodel.settings.ranges import Count, Two


def need_two_latents(model: LightningModule) -> None:
    """Raises NotShown unless the codes of a model that has some are points in the plane."""
    D = getattr(model, "latent_dim", None)
    if D != 2:
        raise NotShown("the model has no latent_dim" if D is None else f"the code has {dimensions(D)}, not 2")


class LatentManifold(Figure):
    """Decoded codes on a grid of equal probability under N(0, I): z = Φ⁻¹(u) for u evenly spaced in (0, 1).

    Figure 4 of Auto-Encoding Variational Bayes (2013, arXiv 1312.6114).
    """

    group = "codes"
    caption = (
        "Points on a lattice in the plane of codes, decoded where they lie: neighbours look alike, and "
        "classes have regions."
    )

    def __init__(self, num_per_axis: Two):
        self.num_per_axis = num_per_axis

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Decodes, SamplesLatents)
        if isinstance(model, Discriminates):
            raise NotShown("not for models trained against a discriminator, whose prior may be uniform")
        if not getattr(model, "has_exact_kl", True):
            raise NotShown("the prior of the codes is not N(0, I)")
        need_two_latents(model)
        n = self.num_per_axis
        axis = torch.special.ndtri((torch.arange(n) + 0.5) / n)
        # Rows from top to bottom are z2 from high to low, as on a plot's axes.
        z = torch.stack([axis.repeat(n), axis.flip(0).repeat_interleave(n)], dim=1)
        x = need_images(model.decode(z.to(model.device)))
        return side_by_side({"E[x | z] on a grid of equal probability in z": image_grid(x, n, gap=0)})


class LatentScatter(Figure):
    """The codes of validation examples, coloured by their labels, which the model has not seen."""

    group = "codes"
    caption = "Each point is the code of a held-out example, coloured by its class, which the model was never told."

    def __init__(self, num_examples: Count):
        self.num_examples = num_examples

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Encodes)
        need_two_latents(model)
        x, label = scene.data.examples("validation", self.num_examples)
        if len(x) == 0:
            raise NotShown("there are no validation examples")
        from pmodel.plots.plots import grouped

        z = torch.cat([model.encode(part.to(model.device)).cpu() for part in x.split(1000)])
        groups = {"no label" if k < 0 else str(k): z[label == k].numpy() for k in label.unique().tolist()}
        return grouped(groups, ["z₁", "z₂"], f"codes of {len(z):,} validation examples")
