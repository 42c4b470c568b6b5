"""The network of PixelRNN: residual blocks of two-dimensional LSTMs."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.autoregressive import AutoregressiveNetwork, Steps
from pmodel.nets.diagonal_lstm import DiagonalBiLSTM, DiagonalBiLSTMSteps
from pmodel.nets.masked_conv import ConvSteps, Head, HeadSteps, MaskedConv2d, matrix
from pmodel.nets.row_lstm import RowLSTM, RowLSTMSteps

Scan = Literal["diagonal", "row"]
LAYERS = {"diagonal": (DiagonalBiLSTM, DiagonalBiLSTMSteps), "row": (RowLSTM, RowLSTMSteps)}


class PixelRNNNetwork(AutoregressiveNetwork):
    """A convolution with mask A, residual LSTM blocks, and the head (arXiv 1601.06759, table 1 and figure 5, right).

    A block is x + W LSTM(x): 2h → h → 2h features, W a 1×1 convolution with mask B.

    Args:
        scan: of the LSTMs: `diagonal`, the paper's best model, in which every pixel sees all before it
            (`DiagonalBiLSTM`); `row`, the faster one, in which it sees a triangle above it (`RowLSTM`).
        hidden_channels: h of each layer; the residual stream has 2h.
        num_layers: the number of blocks.
        first_kernel_size: of the first convolution.
        head_channels: between the two 1×1 convolutions of the head.
    """

    def __init__(
        self,
        num_channels: int,
        num_outputs: int,
        scan: Scan,
        hidden_channels: int,
        num_layers: int,
        first_kernel_size: int,
        head_channels: int,
        condition_channels: int = 0,
    ):
        super().__init__()
        C, h, E = num_channels, hidden_channels, condition_channels
        layer, self._steps = LAYERS[scan]
        self.first = MaskedConv2d(C, 2 * h, first_kernel_size, "A", C, condition_channels=E)
        self.lstms = nn.ModuleList(layer(2 * h, h, C, E, first=n == 0) for n in range(num_layers))
        self.ups = nn.ModuleList(MaskedConv2d(h, 2 * h, 1, "B", C) for _ in range(num_layers))
        self.head = Head(2 * h, head_channels, num_outputs, C)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        B, _, H, W = x.shape
        # Positions first: what the scans gather lies together, and each 1×1 convolution is a plain product.
        y = self.first(x, condition).permute(2, 3, 0, 1).contiguous()
        image = x.permute(2, 3, 0, 1)
        told = None if condition is None else condition.to(y).permute(2, 3, 0, 1).expand(H, W, B, -1)
        for lstm, up in zip(self.lstms, self.ups, strict=True):
            h = lstm(y if told is None else torch.cat([y, told], dim=3), image)
            y = y + F.linear(h, up.masked_weight[:, :, 0, 0], up.bias)
        return self.head(y.permute(2, 3, 0, 1))

    def steps(self, batch_size: int, width: int, condition: Tensor | None = None) -> Steps:
        return _PixelRNNSteps(self, batch_size, width, condition)


class _PixelRNNSteps(Steps):
    def __init__(self, network: PixelRNNNetwork, batch_size: int, width: int, condition: Tensor | None):
        super().__init__(condition)
        self._first = ConvSteps(network.first, batch_size, width, condition)
        self._lstms = network._steps(list(network.lstms), batch_size, width, condition)
        self._ups = [matrix(up) for up in network.ups]
        self._head = HeadSteps(network.head)
        self.inputs = self._first.inputs

    def start_row(self, i: int) -> None:
        self._lstms.start_row(i, self._first.row)
        self._first.start_row(i)

    def pixel(self, j: int) -> Tensor:
        x = self._first.pixel(j)
        for layer, (up, bias) in enumerate(self._ups):
            self._lstms.inputs[layer][j].copy_(x)
            x.addmm_(self._lstms.pixel(layer, j), up)
            x += bias
        return self._head(x)
