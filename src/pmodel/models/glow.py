"""Glow: affine couplings of channels that invertible convolutions mix, in several scales."""

from typing import Any

from pmodel.models.image_flow import ImageFlow, with_logit
from pmodel.nets.flows.multiscale import MultiScale, glow_scale
from pmodel.settings.ranges import Count, OpenHalf, Whole


class Glow(ImageFlow):
    """Steps of an `ActNorm`, an invertible 1×1 convolution and an affine coupling of channels, in several scales
    (Kingma & Dhariwal, Glow: Generative Flow with Invertible 1×1 Convolutions, 2018, arXiv 1807.03039).

    Args:
        num_steps: in each scale, K in the paper.
        num_scales: at most, L in the paper; each needs an even height and width.
        hidden_channels: of the networks of the couplings.
        num_blocks: residual blocks of a network.
        logit_alpha: of a `Logit` before it, which the paper has not; null: none.
    """

    def __init__(
        self,
        num_steps: Count,
        num_scales: Count,
        hidden_channels: Count,
        num_blocks: Whole,
        logit_alpha: OpenHalf | None,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        scale = glow_scale(num_steps, hidden_channels, num_blocks)
        self.flow = with_logit(logit_alpha, MultiScale(tuple(self.data_shape), num_scales, scale))
