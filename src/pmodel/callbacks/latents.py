"""Pictures of a two-dimensional latent space."""

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer

from pmodel.callbacks.figures import Figure
from pmodel.callbacks.pictures import is_picture
from pmodel.capabilities import Decodes, Discriminates, Encodes, SamplesLatents
from pmodel.reporting.grids import image_grid, side_by_side


def has_two_latents(model: LightningModule) -> bool:
    return getattr(model, "latent_dim", None) == 2


class LatentManifold(Figure):
    """Decoded codes on a grid of equal probability under N(0, I): z = Φ⁻¹(u) for u evenly spaced in (0, 1).

    Figure 4 of Auto-Encoding Variational Bayes (2013, arXiv 1312.6114).
    """

    name = "latent_manifold"

    def __init__(self, num_per_axis: int = 20):
        self.num_per_axis = num_per_axis

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        draws_from_normal = isinstance(model, SamplesLatents) and not isinstance(model, Discriminates)
        if not (has_two_latents(model) and isinstance(model, Decodes) and draws_from_normal):
            return None
        n = self.num_per_axis
        axis = torch.special.ndtri((torch.arange(n) + 0.5) / n)
        # Rows from top to bottom are z2 from high to low, as on a plot's axes.
        z = torch.stack([axis.repeat(n), axis.flip(0).repeat_interleave(n)], dim=1)
        x = model.decode(z.to(model.device))
        return (
            side_by_side({"E[x | z] on a grid of equal probability in z": image_grid(x, n, gap=0)})
            if is_picture(x)
            else None
        )


class LatentScatter(Figure):
    """The codes of validation examples, coloured by their labels, which the model has not seen."""

    name = "latent_scatter"

    def __init__(self, num_examples: int = 5000):
        self.num_examples = num_examples

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        if not (has_two_latents(model) and isinstance(model, Encodes)):
            return None
        from pmodel.reporting.plots import labelled_scatter

        x, label = trainer.datamodule.examples("validation", self.num_examples)
        z = torch.cat([model.encode(part.to(model.device)).cpu() for part in x.split(1000)])
        return labelled_scatter(z.numpy(), label.numpy(), f"codes of {len(z):,} validation examples")
