"""What models that are fitted in one epoch have found, where others have curves over epochs."""

import numpy as np
import torch
from lightning.pytorch import LightningModule

from pmodel.capabilities import HasBandwidths, PrincipalComponents
from pmodel.figures.figure import Figure, NotShown, Scene, need
from pmodel.settings.ranges import Two

# The narrowest and the widest kernel that are tried, as multiples of the one that is used.
NARROWEST, WIDEST = 1 / 8, 8


class Spectrum(Figure):
    """The share of the variance along each principal direction, and of the first ones together."""

    group = "codes"
    caption = (
        "How much of the variance each principal component explains, and how much the first ones explain together: "
        "where the left curve bends, components stop to be structure that many examples share."
    )

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, PrincipalComponents)
        from pmodel.plots.fits import spectrum

        return spectrum(model.principal_components()[2].cpu().double().numpy())


class Bandwidths(Figure):
    """The mean log-density of held-out training examples over bandwidths, from an eighth of the one that is used to
    eight times as much.

    Args:
        num_bandwidths: on each side of the one that is used.
    """

    group = "likelihood"
    caption = (
        "The density of held-out examples under kernels of several widths: too narrow ones know nothing between "
        "the examples, too wide ones blur what is apart."
    )

    def __init__(self, num_bandwidths: Two):
        self.num_bandwidths = num_bandwidths

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, HasBandwidths)
        if scene.data.split_sizes["train"] < 2:
            raise NotShown("there is only one training example")
        steps = torch.linspace(-1, 1, 2 * self.num_bandwidths + 1, dtype=torch.float64)
        ratios = WIDEST**steps
        log_prob = model.held_out_log_prob(ratios.to(model.device)).cpu() - scene.data.log_volume
        scale = torch.as_tensor(scene.data.scale).cpu()
        used = (model.bandwidths.cpu() * scale).mean()
        from pmodel.plots.fits import bandwidths

        of = "" if len(model.bandwidths) == 1 else ", mean over the dimensions"
        return bandwidths((used * ratios).numpy(), log_prob.numpy(), self.num_bandwidths, f"bandwidth{of}")
