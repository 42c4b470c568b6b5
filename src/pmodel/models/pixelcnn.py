"""PixelCNN (van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks, 2016, arXiv 1601.06759)."""

from typing import Any

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.pixelcnn import PixelCNNNetwork
from pmodel.settings.ranges import Count


class PixelCNN(AutoregressiveModule):
    """The paper's masked convolutions, in residual blocks; `PixelCNNNetwork` has their settings, and the blind spot."""

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
        self.network = self.build(PixelCNNNetwork)
