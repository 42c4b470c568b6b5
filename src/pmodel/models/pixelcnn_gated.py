"""Gated PixelCNN (van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016, arXiv 1606.05328)."""

from typing import Any

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.gated_pixelcnn import GatedPixelCNNNetwork
from pmodel.settings.ranges import Count, Fraction


class GatedPixelCNN(AutoregressiveModule):
    """Gated layers of a vertical and a horizontal stack, which see all earlier pixels; see `GatedPixelCNNNetwork`.

    Args:
        hidden_channels: h, the features of each stack.
        num_layers: of both stacks, with the first.
        head_channels: of the hidden layer at the end.
        kernel_size, first_kernel_size: of the layers, and of the first.
        dropout: the share of the gates' outputs that each training step leaves out.
    """

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
        self.check_sizes()
        self.network = GatedPixelCNNNetwork(
            self.num_channels,
            self.num_outputs,
            hidden_channels,
            num_layers,
            kernel_size,
            first_kernel_size,
            head_channels,
            dropout,
            self.condition_channels,
        )
