"""RealNVP: affine couplings of images, in several scales."""

from typing import Any

from pmodel.models.image_flow import ImageFlow, with_logit
from pmodel.nets.flows.multiscale import MultiScale, realnvp_scale
from pmodel.settings.ranges import Count, OpenHalf, Whole


class RealNVP(ImageFlow):
    """Affine couplings of checkerboards and of channels, in several scales (Dinh, Sohl-Dickstein & Bengio, Density
    estimation using Real NVP, 2016, arXiv 1605.08803).

    There is an `ActNorm` before each coupling where the paper has batch normalization, and what is factored out after a
    scale has a Gaussian given what goes on, where the paper has a standard one.

    Args:
        num_couplings: of a checkerboard in each scale, and of channels.
        num_scales: at most; each needs an even height and width.
        hidden_channels: of the networks in the first scale; with each further halving there are twice as many.
        num_blocks: residual blocks of a network.
        logit_alpha: of the `Logit` before it; null: none.
    """

    def __init__(
        self,
        num_couplings: Count,
        num_scales: Count,
        hidden_channels: Count,
        num_blocks: Whole,
        logit_alpha: OpenHalf | None,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        scale = realnvp_scale(num_couplings, hidden_channels, num_blocks)
        self.flow = with_logit(logit_alpha, MultiScale(tuple(self.data_shape), num_scales, scale))
