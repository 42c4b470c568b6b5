"""The gated residual block of PixelCNN++, whole, and row by row and pixel by pixel for samples."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.dropout import Dropout
from pmodel.nets.masked_conv import ConvSteps
from pmodel.nets.shifted_conv import RowSteps, ShiftedConv2d, matrix_of


def concat_elu(x: Tensor, dim: int = 1, out: Tensor | None = None) -> Tensor:
    """elu of x and of −x, one after the other in dimension `dim`."""
    return F.elu(torch.cat((x, -x), dim, out=out), inplace=True)


def gated(y: Tensor, dim: int = 1) -> Tensor:
    """a · σ(b), of the halves a and b of the features."""
    a, b = y.chunk(2, dim)
    return a * b.sigmoid()


class GatedBlock(nn.Module):
    """x + gated(W₂ ∗ dropout(φ(W₁ ∗ φ(x) + Σ_n A_n φ(a_n)))), φ = concat_elu, of features (B, h, H, W) and others a_n.

    Its second convolution, which the condition is added to, starts at a tenth of the usual size.
    """

    def __init__(
        self,
        hidden_channels: int,
        kernel_size: tuple[int, int],
        to_the_right: bool,
        num_others: int,
        dropout: float,
        condition_channels: int,
    ):
        super().__init__()
        h = hidden_channels
        self.first = ShiftedConv2d(2 * h, h, kernel_size, to_the_right)
        self.others = nn.ModuleList(nn.Conv2d(2 * h, h, 1, bias=False) for _ in range(num_others))
        self.dropout = Dropout(dropout)
        self.second = ShiftedConv2d(2 * h, 2 * h, kernel_size, to_the_right, condition_channels=condition_channels)
        with torch.no_grad():
            self.second.weight *= 0.1

    def forward(self, x: Tensor, others: Sequence[Tensor], condition: Tensor | None = None) -> Tensor:
        y = self.first(concat_elu(x))
        for conv, other in zip(self.others, others, strict=True):
            y = y + conv(concat_elu(other))
        return x + gated(self.second(self.dropout(concat_elu(y)), condition))


class RowBlock:
    """A `GatedBlock` of the stream `rows`, row by row: (W, B, h) → (W, B, h)."""

    def __init__(self, block: GatedBlock, batch_size: int, width: int, condition: Tensor | None):
        self._first = RowSteps(block.first, batch_size, width)
        self._others = [matrix_of(conv.weight) for conv in block.others]
        self._second = RowSteps(block.second, batch_size, width, condition)

    def __call__(self, i: int, x: Tensor, others: list[Tensor]) -> Tensor:
        y = self._first(i, concat_elu(x, -1))
        for weight, other in zip(self._others, others, strict=True):
            y += concat_elu(other, -1) @ weight
        return x + gated(self._second(i, concat_elu(y, -1)), -1)


class PixelBlock:
    """A `GatedBlock` of the stream `pixels`, pixel by pixel: (B, h) → (B, h)."""

    def __init__(self, block: GatedBlock, batch_size: int, width: int, condition: Tensor | None):
        self._first = ConvSteps(block.first, batch_size, width)
        self._rows, *self._seen = [matrix_of(conv.weight) for conv in block.others]
        self._second = ConvSteps(block.second, batch_size, width, condition)

    def start_row(self, i: int, rows: Tensor) -> None:
        self._first.start_row(i, concat_elu(rows, -1) @ self._rows)
        self._second.start_row(i)

    def pixel(self, j: int, x: Tensor, others: list[Tensor]) -> Tensor:
        concat_elu(x, out=self._first.inputs[j])
        y = self._first.pixel(j)
        for weight, other in zip(self._seen, others, strict=True):
            y.addmm_(concat_elu(other), weight)
        concat_elu(y, out=self._second.inputs[j])
        return x + gated(self._second.pixel(j))
