"""The network of the Gated PixelCNN: a stack of rows above, and a stack along the row, without a blind spot."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.autoregressive import AutoregressiveNetwork, Steps
from pmodel.nets.dropout import Dropout
from pmodel.nets.masked_conv import ConvSteps, Head, HeadSteps, MaskedConv2d, matrix
from pmodel.nets.shifted_conv import RowSteps, ShiftedConv2d, matrix_of


class GatedPixelCNNNetwork(AutoregressiveNetwork):
    """Layers of two stacks (van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016, arXiv
    1606.05328, figure 2), and the head of `PixelCNNNetwork` on the horizontal one.

    The vertical stack runs over the image shifted down by one row, so its features at (i, j) know rows above i
    alone, whole and in all channels: no layer of it has a mask, each can feed the horizontal stack at its own
    position, and together the stacks reach all earlier pixels within the width of the kernels.
    The paper shifts the features instead of the image, the same but at the image's edge, where it leaves open
    what stands above row 0; here it is what the vertical stack makes of an empty image.

    Args:
        hidden_channels: h, the features of each stack.
        num_layers: with the first one, which has mask A.
        kernel_size, first_kernel_size: k of the layers, and of the first; 2h features see (k//2 + 1)×k of the
            vertical stack, and 1×(k//2 + 1) of the horizontal one.
        head_channels: between the two 1×1 convolutions of the head.
        dropout: of the gates' outputs, while training (not in the paper).
    """

    def __init__(
        self,
        num_channels: int,
        num_outputs: int,
        hidden_channels: int,
        num_layers: int,
        kernel_size: int,
        first_kernel_size: int,
        head_channels: int,
        dropout: float = 0.0,
        condition_channels: int = 0,
    ):
        super().__init__()
        C, h = num_channels, hidden_channels
        self.layers = nn.ModuleList(
            GatedLayer(
                h if n else C, h, kernel_size if n else first_kernel_size, n == 0, C, dropout, condition_channels
            )
            for n in range(num_layers)
        )
        self.head = Head(h, head_channels, num_outputs, C)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        # 1×1 convolutions of images with the channels last are plain matrix products.
        above, here = (y.contiguous(memory_format=torch.channels_last) for y in (F.pad(x, (0, 0, 1, -1)), x))
        for layer in self.layers:
            above, here = layer(above, here, condition)
        return self.head(here)

    def steps(self, batch_size: int, width: int, condition: Tensor | None = None) -> Steps:
        return _GatedPixelCNNSteps(self, batch_size, width, condition)


def gate(y: Tensor, dim: int = 1) -> Tensor:
    """tanh(a) · σ(b), of the halves a and b of the features."""
    a, b = y.chunk(2, dim)
    return a.tanh() * b.sigmoid()


class GatedLayer(nn.Module):
    """v' = gate(V ∗ v) and h' = h + W₁ gate(H ∗ h + W₂ (V ∗ v)), of features (B, I, H, W) → (B, h, H, W) each.

    The first layer has no residual: its h is the image, which no position may see at itself.
    """

    def __init__(
        self,
        in_features: int,
        hidden_channels: int,
        kernel_size: int,
        first: bool,
        num_channels: int,
        dropout: float,
        condition_channels: int,
    ):
        super().__init__()
        h, k, C, E = hidden_channels, kernel_size, num_channels, condition_channels
        self.residual = not first
        self.vertical = ShiftedConv2d(in_features, 2 * h, (k // 2 + 1, k), condition_channels=E)
        self.across = nn.Conv2d(2 * h, 2 * h, 1, bias=False)
        self.horizontal = MaskedConv2d(in_features, 2 * h, k, "A" if first else "B", C, 2, E, rows_above=False)
        self.dropout = Dropout(dropout)
        self.out = MaskedConv2d(h, h, 1, "B", C)

    def forward(self, above: Tensor, here: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        v = self.vertical(above, condition)
        y = self.out(self.dropout(gate(self.horizontal(here, condition) + self.across(v))))
        return self.dropout(gate(v)), y + here if self.residual else y


class _LayerSteps:
    """`GatedLayer`: the vertical stack by rows, the horizontal one by pixels."""

    def __init__(self, layer: GatedLayer, batch_size: int, width: int, condition: Tensor | None):
        self._vertical = RowSteps(layer.vertical, batch_size, width, condition)
        self._across = matrix_of(layer.across.weight)
        self._horizontal = ConvSteps(layer.horizontal, batch_size, width, condition)
        self._out, self._bias = matrix(layer.out)
        self._residual = layer.residual
        self.inputs = self._horizontal.inputs

    def start_row(self, i: int, above: Tensor) -> Tensor:
        """The vertical stack's row i: (W, B, I) → (W, B, h)."""
        v = self._vertical(i, above)
        self._horizontal.start_row(i, v @ self._across)
        return gate(v, -1)

    def pixel(self, j: int) -> Tensor:
        """The horizontal stack at column j, of what is in `inputs[j]`: (B, h)."""
        y = torch.addmm(self._bias, gate(self._horizontal.pixel(j)), self._out)
        return y.add_(self.inputs[j]) if self._residual else y


class _GatedPixelCNNSteps(Steps):
    def __init__(self, network: GatedPixelCNNNetwork, batch_size: int, width: int, condition: Tensor | None):
        super().__init__(condition)
        self._layers = [_LayerSteps(layer, batch_size, width, condition) for layer in network.layers]
        self._head = HeadSteps(network.head)
        self.inputs = self._layers[0].inputs

    def start_row(self, i: int) -> None:
        row = torch.stack(self.inputs)  # (W, B, C)
        above = row if i else torch.zeros_like(row)
        for layer in self._layers:
            above = layer.start_row(i, above)

    def pixel(self, j: int) -> Tensor:
        y = self._layers[0].pixel(j)
        for layer in self._layers[1:]:
            layer.inputs[j].copy_(y)
            y = layer.pixel(j)
        return self._head(y)
