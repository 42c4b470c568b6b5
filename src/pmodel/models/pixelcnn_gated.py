"""Gated PixelCNN (van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016, arXiv 1606.05328)."""

from typing import Any

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.gated_pixelcnn import GatedPixelCNNNetwork
from pmodel.settings.ranges import Count, Fraction


class GatedPixelCNN(AutoregressiveModule):
    """Gated layers of a vertical and a horizontal stack, which see all earlier pixels; `GatedPixelCNNNetwork` has their
    settings."""

    def __init__(
        self,
        hidden_channels: Count,
        num_layers: Count,
        head_channels: Count,
        kernel_size: Count,
        first_kernel_size: Count,
        dropout: Fraction,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        self.network = self.build(GatedPixelCNNNetwork)
