"""Convolutions that see the rows above, or these and the columns to the left, by where their kernels stand."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShiftedConv2d(nn.Module):
    """A convolution that sees no later row, and, if `to_the_right`, no later column either (Salimans et al.,
    PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications, 2017,
    arXiv 1701.05517, section 2.3).

    Position (i, j) sees rows i − kh + 1 … i, and columns j − (kw − 1)/2 … j + (kw − 1)/2 (shifted down) or
    j − kw + 1 … j (shifted down and to the right). It sees its own position: whoever needs less shifts the image.

    Images (B, I, H, W) → (B, O, ⌈H/stride⌉, ⌈W/stride⌉); a condition (B, E, H, W) or (B, E, 1, 1) of the outputs'
    size is added through a 1×1 convolution.

    Args:
        kernel_size: (kh, kw); kw odd unless `to_the_right`.
        condition_channels: E; 0: there is none.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: tuple[int, int],
        to_the_right: bool = False,
        stride: int = 1,
        condition_channels: int = 0,
    ):
        super().__init__()
        kh, kw = kernel_size
        assert to_the_right or kw % 2 == 1
        self.above, self.left, self.right = kh - 1, *((kw - 1, 0) if to_the_right else (kw // 2, kw // 2))
        self.stride = stride
        # Kept from nn.Conv2d: its initialization.
        like = nn.Conv2d(in_features, out_features, kernel_size)
        self.weight, self.bias = like.weight, like.bias
        self.condition = nn.Conv2d(condition_channels, out_features, 1, bias=False) if condition_channels else None

    @property
    def masked_weight(self) -> Tensor:
        """(O, I, kh, kw); here there is nothing to mask."""
        return self.weight

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        padding = (self.left, self.right, self.above, 0)
        y = F.conv2d(F.pad(x, padding) if any(padding) else x, self.masked_weight, self.bias, self.stride)
        return y if self.condition is None else y + self.condition(condition)


class ShiftedUpConv2d(nn.Module):
    """Twice as many rows and columns, causal where `ShiftedConv2d` with stride 2 is: (i, j) → (2i … 2i + 1, …).

    Columns 2j − 1 … 2j + 1 of the output see column j, or, if `to_the_right`, columns 2j … 2j + 1 do (the paper's
    deconvolutions, arXiv 1701.05517). Images (B, I, ⌈H/2⌉, ⌈W/2⌉) → (B, O, H, W).
    """

    def __init__(self, in_features: int, out_features: int, to_the_right: bool = False):
        super().__init__()
        self.left = 0 if to_the_right else 1
        like = nn.ConvTranspose2d(in_features, out_features, (2, 2 if to_the_right else 3), stride=2)
        self.weight, self.bias = like.weight, like.bias

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """size: (H, W)."""
        H, W = size
        y = F.conv_transpose2d(x, self.weight, self.bias, stride=2)
        return y[:, :, :H, self.left : self.left + W]


def matrix_of(weight: Tensor) -> Tensor:
    """The weight (O, I, 1, 1) of a 1×1 convolution as a matrix (I, O)."""
    return weight.detach()[:, :, 0, 0].T.contiguous()


class RowSteps:
    """A `ShiftedConv2d` of whole rows that don't depend on each other's pixels: `push` for each row, `output` for each
    stride-th. Rows are (W, B, features): a window's column is one matrix of them, without a copy.
    """

    def __init__(self, conv: ShiftedConv2d, batch_size: int, width: int, condition: Tensor | None = None):
        weight = conv.weight.detach()
        _, I, kh, kw = weight.shape  # noqa: E741  (inputs)
        self._taps = weight.permute(2, 3, 1, 0).contiguous()  # (kh, kw, I, O)
        self._bias = conv.bias.detach()
        self._condition = None if conv.condition is None else conv.condition(condition).detach().permute(2, 3, 0, 1)
        self._rows = weight.new_zeros(kh, width + kw - 1, batch_size, I)
        self._present = self._rows[-1, conv.left : conv.left + width]
        self._width, self._stride = width, conv.stride

    def push(self, row: Tensor) -> None:
        """Takes the next row, (W, B, I)."""
        self._rows[:-1] = self._rows[1:].clone()
        self._present.copy_(row)

    def output(self, i: int) -> Tensor:
        """Row i of the output, (⌈W/stride⌉, B, O), whose last input was just pushed."""
        B, I = self._rows.shape[2:]  # noqa: E741  (inputs)
        columns = -(-self._width // self._stride)
        y = self._bias.repeat(columns * B, 1)
        for row, taps in zip(self._rows, self._taps, strict=True):
            for t, tap in enumerate(taps):
                y.addmm_(row[t : t + self._width : self._stride].reshape(-1, I), tap)
        y = y.view(columns, B, -1)
        if self._condition is not None:  # (H or 1, W or 1, B, O)
            y += self._condition[i if len(self._condition) > 1 else 0]
        return y

    def __call__(self, i: int, row: Tensor) -> Tensor:
        self.push(row)
        return self.output(i)


class UpRowSteps:
    """A `ShiftedUpConv2d` by rows: `outputs`, the two rows (W, B, O) of the coarse row (⌈W/2⌉, B, I) pushed last."""

    def __init__(self, conv: ShiftedUpConv2d, width: int):
        self._conv, self._width = conv, width

    def push(self, row: Tensor) -> None:
        y = self._conv(row.permute(1, 2, 0).unsqueeze(2), (2, self._width))
        self.outputs = y.detach().permute(2, 3, 0, 1)


class UpPixelSteps:
    """A `ShiftedUpConv2d` to the right by pixels: `outputs`, two rows of (B, O), of the coarse pixels (B, I) pushed."""

    def __init__(self, conv: ShiftedUpConv2d, batch_size: int, coarse_width: int):
        weight = conv.weight.detach()
        self._weight = weight.permute(0, 2, 3, 1).flatten(1).contiguous()  # (I, 2 · 2 · O)
        self._bias = conv.bias.detach().repeat(4)
        self._outputs = weight.new_empty(2, 2 * coarse_width, batch_size, weight.shape[1])
        self.outputs = [row.unbind() for row in self._outputs]

    def push(self, j: int, x: Tensor) -> None:
        """Takes the coarse pixel of column j."""
        y = torch.addmm(self._bias, x, self._weight).unflatten(1, (2, 2, -1))
        self._outputs[:, 2 * j : 2 * j + 2] = y.movedim(0, 2)
