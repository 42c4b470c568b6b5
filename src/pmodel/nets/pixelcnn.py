"""The network of PixelCNN: residual blocks of masked convolutions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.autoregressive import AutoregressiveNetwork, Steps
from pmodel.nets.masked_conv import ConvSteps, Head, HeadSteps, MaskedConv2d, matrix


class PixelCNNNetwork(AutoregressiveNetwork):
    """Mask A first, residual blocks with mask B, and the head (arXiv 1601.06759, table 1 and figure 5, left).

    Its reach has the blind spot that the gated stacks were made for: a 3×3 convolution of the row above sees one
    column to the right, so no number of layers sees what stands further right than that many rows above.

    Args:
        hidden_channels: h; the residual stream has 2h.
        num_blocks, kernel_size: of the residual blocks.
        first_kernel_size: of the first convolution.
        head_channels: between the two 1×1 convolutions of the head.
    """

    def __init__(
        self,
        num_channels: int,
        num_outputs: int,
        hidden_channels: int,
        num_blocks: int,
        kernel_size: int,
        first_kernel_size: int,
        head_channels: int,
        condition_channels: int = 0,
    ):
        super().__init__()
        C, h, E = num_channels, hidden_channels, condition_channels
        self.first = MaskedConv2d(C, 2 * h, first_kernel_size, "A", C, condition_channels=E)
        self.blocks = nn.ModuleList(ResidualBlock(h, kernel_size, C, E) for _ in range(num_blocks))
        self.head = Head(2 * h, head_channels, num_outputs, C)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        # 1×1 convolutions of images with the channels last are plain matrix products: half the time on the CPU.
        y = self.first(x, condition).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            y = block(y, condition)
        return self.head(y)

    def steps(self, batch_size: int, width: int, condition: Tensor | None = None) -> Steps:
        return _PixelCNNSteps(self, batch_size, width, condition)


class ResidualBlock(nn.Module):
    """x + W₂ relu(conv(relu(W₁ relu(x)))): 2h → h → h → 2h features, (B, 2h, H, W)."""

    def __init__(self, hidden_channels: int, kernel_size: int, num_channels: int, condition_channels: int):
        super().__init__()
        h, C = hidden_channels, num_channels
        self.down = MaskedConv2d(2 * h, h, 1, "B", C)
        self.conv = MaskedConv2d(h, h, kernel_size, "B", C, condition_channels=condition_channels)
        self.up = MaskedConv2d(h, 2 * h, 1, "B", C)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        y = F.relu(self.down(F.relu(x)), inplace=True)
        return x + self.up(F.relu(self.conv(y, condition), inplace=True))


class _PixelCNNSteps(Steps):
    def __init__(self, network: PixelCNNNetwork, batch_size: int, width: int, condition: Tensor | None):
        super().__init__(condition)
        self._first = ConvSteps(network.first, batch_size, width, condition)
        self._blocks = [
            (*matrix(block.down), ConvSteps(block.conv, batch_size, width, condition), *matrix(block.up))
            for block in network.blocks
        ]
        self._head = HeadSteps(network.head)
        self.inputs = self._first.inputs

    def start_row(self, i: int) -> None:
        self._first.start_row(i)
        for _, _, conv, _, _ in self._blocks:
            conv.start_row(i)

    def pixel(self, j: int) -> Tensor:
        x = self._first.pixel(j)
        for down, down_bias, conv, up, up_bias in self._blocks:
            torch.clamp_min(torch.addmm(down_bias, x.relu(), down), 0, out=conv.inputs[j])
            x += torch.addmm(up_bias, conv.pixel(j).relu_(), up)
        return self._head(x)
