"""PixelCNN (van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks, 2016, arXiv 1601.06759)."""

from typing import Any

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.pixelcnn import PixelCNNNetwork
from pmodel.settings.ranges import Count


class PixelCNN(AutoregressiveModule):
    """The paper's masked convolutions, in residual blocks; see `PixelCNNNetwork` for them and for the blind spot.

    Args:
        hidden_channels: h; the residual stream has 2h features.
        num_blocks, kernel_size: of the residual blocks.
        first_kernel_size: of the convolution with mask A.
        head_channels: of the hidden layer at the end.
    """

    def __init__(
        self,
        hidden_channels: Count,
        num_blocks: Count,
        head_channels: Count,
        kernel_size: Count,
        first_kernel_size: Count,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        self.check_sizes()
        self.network = PixelCNNNetwork(
            self.num_channels,
            self.num_outputs,
            hidden_channels,
            num_blocks,
            kernel_size,
            first_kernel_size,
            head_channels,
            self.condition_channels,
        )
