"""Convolutions that see the past of each sub-pixel alone, over whole images and pixel by pixel."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.shifted_conv import ShiftedConv2d, matrix_of

MaskType = Literal["A", "B"]


def channel_groups(num_features: int, num_channels: int, repeats: int = 1) -> Tensor:
    """Which of the image's channels (0, 1, …) each feature belongs to, (num_features,) int64: equal shares, in order.

    repeats: so many blocks of features follow each other, each with all the groups: the gates of a layer.
    """
    per_block = num_features // repeats
    return (torch.arange(per_block) * num_channels // per_block).repeat(repeats)


class MaskedConv2d(ShiftedConv2d):
    """A k×k convolution without the taps below, and to the right of, the centre (van den Oord et al., Pixel Recurrent
    Neural Networks, 2016, arXiv 1601.06759, section 3.4).

    At the centre, features of channel d feed those of channel c if d < c (mask A, of the first layer, whose inputs are
    the pixels themselves) or d ≤ c (mask B). The weight has no place for the rows below: (O, I, k//2 + 1, k).

    Every position may see its condition (van den Oord et al., Conditional Image Generation with PixelCNN Decoders,
    2016, arXiv 1606.05328).

    Args:
        kernel_size: k, odd.
        num_channels: C of the image.
        repeats: see `channel_groups`, for the outputs.
        condition_channels: E; 0: there is none.
        rows_above: whether the kernel reaches beyond its own row.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int,
        mask: MaskType,
        num_channels: int,
        repeats: int = 1,
        condition_channels: int = 0,
        rows_above: bool = True,
    ):
        radius = kernel_size // 2
        kernel = (radius + 1 if rows_above else 1, kernel_size)
        super().__init__(in_features, out_features, kernel, condition_channels=condition_channels)
        d, c = channel_groups(in_features, num_channels), channel_groups(out_features, num_channels, repeats)
        taps = torch.ones(self.weight.shape)
        taps[:, :, -1, radius + 1 :] = 0
        taps[:, :, -1, radius] = (d[None] < c[:, None] if mask == "A" else d[None] <= c[:, None]).float()
        self.register_buffer("mask", taps, persistent=False)

    @property
    def masked_weight(self) -> Tensor:
        """(O, I, k//2 + 1, k)"""
        return self.weight * self.mask

    def joint_matrix(self) -> Tensor:
        """The weight at the centre of inputs and condition, as one matrix (I + E, O)."""
        centre = self.masked_weight[:, :, -1, self.left]
        return centre.T if self.condition is None else torch.cat([centre, self.condition.weight[:, :, 0, 0]], 1).T


class ConvSteps:
    """A `MaskedConv2d`, or a `ShiftedConv2d` to the right, applied pixel by pixel in raster order, to B images at once:
    `start_row`, then `pixel` for each column, after its input was written into `inputs[j]` (B, I). A pixel may be done
    again with another input.

    What the rows above contribute is one product per row; a pixel costs one product of what stands left of it.
    """

    def __init__(self, conv: ShiftedConv2d, batch_size: int, width: int, condition: Tensor | None = None):
        weight = conv.masked_weight.detach()
        O, I, _, k = weight.shape  # noqa: E741  (outputs, inputs)
        self.above, left = conv.above, conv.left
        # (taps · I, O): the order of the windows below.
        self._weight_above = weight[:, :, :-1].permute(2, 3, 1, 0).reshape(-1, O).contiguous()
        self._weight_here = weight[:, :, -1, : left + 1].permute(2, 1, 0).reshape(-1, O).contiguous()
        self._bias = conv.bias.detach()
        self._condition = None if conv.condition is None else conv.condition(condition).detach().movedim(1, -1)
        self._rows = weight.new_zeros(self.above + 1, batch_size, width + k - 1, I)
        self._windows_above = self._rows[:-1].unfold(2, k, 1)  # (above, B, W, I, k)
        present = self._rows[-1]
        self.row = present[:, left : left + width]  # the inputs of this row, (B, W, I)
        self.inputs = [present[:, left + j] for j in range(width)]
        self._windows = [present[:, j : j + left + 1].view(batch_size, -1) for j in range(width)]
        self._base = weight.new_zeros(width, batch_size, O)
        self._bases = self._base.unbind(0)
        self._output = weight.new_empty(batch_size, O)

    def start_row(self, i: int, extra: Tensor | None = None) -> None:
        """Turns to row i; the rows before it are done. extra: (W, B, O), added to the row's outputs."""
        if self.above:
            if i:
                self._rows[:-1] = self._rows[1:].clone()
            windows = self._windows_above.permute(2, 1, 0, 4, 3).flatten(2)  # (W, B, above · k · I)
            torch.matmul(windows, self._weight_above, out=self._base)
            self._base += self._bias
        else:
            self._base[:] = self._bias
        if self._condition is not None:  # (B, H or 1, W or 1, O)
            self._base += self._condition[:, i if self._condition.shape[1] > 1 else 0].transpose(0, 1)
        if extra is not None:
            self._base += extra

    def pixel(self, j: int) -> Tensor:
        """The output (B, O) at column j, good until the next call."""
        return torch.addmm(self._bases[j], self._windows[j], self._weight_here, out=self._output)


class Head(nn.Module):
    """Twice ReLU and a 1×1 convolution with mask B: features (B, F, …) → outputs (B, P, …)."""

    def __init__(self, in_features: int, hidden_channels: int, num_outputs: int, num_channels: int):
        super().__init__()
        self.first = MaskedConv2d(in_features, hidden_channels, 1, "B", num_channels)
        self.second = MaskedConv2d(hidden_channels, num_outputs, 1, "B", num_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.first(F.relu(x)), inplace=True))


class HeadSteps:
    """`Head` of one position at a time."""

    def __init__(self, head: Head):
        self._layers = [matrix(conv) for conv in (head.first, head.second)]

    def __call__(self, x: Tensor) -> Tensor:
        """Features (B, F) → outputs (B, P)."""
        for weight, bias in self._layers:
            x = torch.addmm(bias, x.relu(), weight)
        return x


def matrix(conv: MaskedConv2d) -> tuple[Tensor, Tensor]:
    """The weight (I, O) and bias (O,) of a 1×1 convolution."""
    return matrix_of(conv.masked_weight), conv.bias.detach()
