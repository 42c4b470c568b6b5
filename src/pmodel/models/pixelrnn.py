"""PixelRNN, with Diagonal BiLSTMs or Row LSTMs (van den Oord et al., Pixel Recurrent Neural Networks, 2016,
arXiv 1601.06759)."""

from typing import Any

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.lstm_scan import is_fused
from pmodel.nets.pixelrnn import PixelRNNNetwork, Scan
from pmodel.nets.row_lstm import RowLSTM
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

    @property
    def remark(self) -> str:
        height, width = self.data_shape[1:]
        lstm = self.network.lstms[0]
        most_cells = width if isinstance(lstm, RowLSTM) else min(height, width)
        return "each scan one kernel" if is_fused(lstm.state, most_cells) else "scans step by step"
