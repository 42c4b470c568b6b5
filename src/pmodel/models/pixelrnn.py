"""PixelRNN, with Diagonal BiLSTMs or Row LSTMs (van den Oord et al., Pixel Recurrent Neural Networks, 2016,
arXiv 1601.06759)."""

from typing import Any

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.pixelrnn import PixelRNNNetwork, Scan
from pmodel.settings.ranges import Count


class PixelRNN(AutoregressiveModule):
    """Residual blocks of two-dimensional LSTMs; `PixelRNNNetwork` has their settings."""

    def __init__(
        self,
        scan: Scan,
        hidden_channels: Count,
        num_layers: Count,
        head_channels: Count,
        first_kernel_size: Count,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        self.network = self.build(PixelRNNNetwork)
