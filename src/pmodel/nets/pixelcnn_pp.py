"""The network of PixelCNN++: two streams of gated residual blocks, over several scales."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.autoregressive import AutoregressiveNetwork, Steps
from pmodel.nets.gated_block import GatedBlock, PixelBlock, RowBlock
from pmodel.nets.masked_conv import ConvSteps
from pmodel.nets.shifted_conv import RowSteps, ShiftedConv2d, ShiftedUpConv2d, UpPixelSteps, UpRowSteps, matrix_of


class PixelCNNppNetwork(AutoregressiveNetwork):
    """The network of Salimans et al., PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood
    and Other Modifications, 2017, arXiv 1701.05517.

    Of the two streams, `rows` sees the rows above alone, and `pixels` these and what stands left: the image is
    shifted down for the one, and down and to the right for the other, and no later convolution looks ahead. A channel
    of ones tells the image from its padding.

    Deviations: no weight normalization, and so no initialization from data; the image is shifted in place of the
    first features, which matters at its edge alone.

    Args:
        hidden_channels: h, the features of each stream at each scale.
        num_blocks: of each stream at each scale, on the way down and again on the way up, where there is one more.
        num_scales: each has half the rows and columns of the one before, rounded up.
        dropout: within the blocks, while training.
    """

    whole_pixels = True

    def __init__(
        self,
        num_channels: int,
        num_outputs: int,
        hidden_channels: int,
        num_blocks: int,
        num_scales: int,
        dropout: float = 0.0,
        condition_channels: int = 0,
    ):
        super().__init__()
        C, h = num_channels, hidden_channels
        self.first_rows = ShiftedConv2d(C + 1, h, (2, 3))
        self.first_above = ShiftedConv2d(C + 1, h, (1, 3))
        self.first_left = ShiftedConv2d(C + 1, h, (2, 1), to_the_right=True)
        self.scale = Scale(h, num_blocks, num_scales, dropout, condition_channels)
        self.last = nn.Conv2d(h, num_outputs, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = torch.cat((x, torch.ones_like(x[:, :1])), 1)
        # 1×1 convolutions of images with the channels last are plain matrix products.
        above = F.pad(x, (0, 0, 1, -1)).contiguous(memory_format=torch.channels_last)
        left = F.pad(x, (1, -1, 0, 0)).contiguous(memory_format=torch.channels_last)
        _, pixels = self.scale(self.first_rows(above), self.first_above(above) + self.first_left(left), condition)
        return self.last(F.elu(pixels))

    def steps(self, batch_size: int, width: int, condition: Tensor | None = None) -> Steps:
        return _PixelCNNppSteps(self, batch_size, width, condition)


class Scale(nn.Module):
    """Layers, the coarser scales between them, and as many layers that see what the former ones saw; of both streams.

    Both streams (B, h, H, W) → (B, h, H, W). The coarser scales get each second position of a condition's map.
    """

    def __init__(self, hidden_channels: int, num_blocks: int, num_scales: int, dropout: float, condition_channels: int):
        super().__init__()
        h, E = hidden_channels, condition_channels
        self.layers_down = nn.ModuleList(TwoStreams(h, False, dropout, E) for _ in range(num_blocks))
        self.coarser = None
        self.period = 2 ** (num_scales - 1)  # rows until all scales are at a row's start again
        if num_scales > 1:
            self.down_rows = ShiftedConv2d(h, h, (2, 3), stride=2)
            self.down_pixels = ShiftedConv2d(h, h, (2, 2), to_the_right=True, stride=2)
            self.coarser = Scale(h, num_blocks, num_scales - 1, dropout, E)
            self.up_rows = ShiftedUpConv2d(h, h)
            self.up_pixels = ShiftedUpConv2d(h, h, to_the_right=True)
        # What comes back from coarser scales sees the start of this scale as well.
        num_up = num_blocks + (self.coarser is not None)
        self.layers_up = nn.ModuleList(TwoStreams(h, True, dropout, E) for _ in range(num_up))

    def forward(self, rows: Tensor, pixels: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        seen = [(rows, pixels)]
        for layer in self.layers_down:
            seen.append(layer(*seen[-1], condition=condition))
        if self.coarser is None:
            rows, pixels = seen.pop()
        else:
            rows, pixels = self.coarser(self.down_rows(seen[-1][0]), self.down_pixels(seen[-1][1]), halved(condition))
            size = seen[-1][0].shape[2:]
            rows, pixels = self.up_rows(rows, size), self.up_pixels(pixels, size)
        for layer in self.layers_up:
            rows, pixels = layer(rows, pixels, *seen.pop(), condition=condition)
        return rows, pixels


def halved(condition: Tensor | None) -> Tensor | None:
    """Each second position of a map (B, E, H, W); (B, E, 1, 1) as it is."""
    return None if condition is None else condition[:, :, ::2, ::2]


class TwoStreams(nn.Module):
    """A block of each stream; that of `pixels` sees the new `rows`. With `skip`, both see what they were too."""

    def __init__(self, hidden_channels: int, skip: bool, dropout: float, condition_channels: int):
        super().__init__()
        h, E = hidden_channels, condition_channels
        self.rows = GatedBlock(h, (2, 3), False, int(skip), dropout, E)
        self.pixels = GatedBlock(h, (2, 2), True, 1 + skip, dropout, E)

    def forward(
        self, rows: Tensor, pixels: Tensor, *seen: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        rows = self.rows(rows, seen[:1], condition)
        return rows, self.pixels(pixels, (rows, *seen[1:]), condition)


class _LayerSteps:
    """`TwoStreams`, one stream by rows and the other by pixels."""

    def __init__(self, layer: TwoStreams, batch_size: int, width: int, condition: Tensor | None):
        self._rows = RowBlock(layer.rows, batch_size, width, condition)
        self._pixels = PixelBlock(layer.pixels, batch_size, width, condition)
        self.pixel = self._pixels.pixel

    def start_row(self, i: int, rows: Tensor, seen: list[Tensor]) -> Tensor:
        rows = self._rows(i, rows, seen)
        self._pixels.start_row(i, rows)
        return rows


class _ScaleSteps:
    """`Scale`: coarser scales do something at each second row, and in this at each second pixel."""

    def __init__(self, scale: Scale, batch_size: int, width: int, condition: Tensor | None):
        self._down = [_LayerSteps(layer, batch_size, width, condition) for layer in scale.layers_down]
        self._up = [_LayerSteps(layer, batch_size, width, condition) for layer in scale.layers_up]
        self._coarser = None
        if scale.coarser is not None:
            self._down_rows = RowSteps(scale.down_rows, batch_size, width)
            self._down_pixels = ConvSteps(scale.down_pixels, batch_size, width)
            coarse_width = -(-width // 2)
            self._coarser = _ScaleSteps(scale.coarser, batch_size, coarse_width, halved(condition))
            self._up_rows = UpRowSteps(scale.up_rows, width)
            self._up_pixels = UpPixelSteps(scale.up_pixels, batch_size, coarse_width)

    def start_row(self, i: int, rows: Tensor) -> Tensor:
        """Row i of the stream `rows`, (W, B, h) → (W, B, h)."""
        self._odd_row = i % 2
        seen = [rows]
        for layer in self._down:
            seen.append(layer.start_row(i, seen[-1], []))
        if self._coarser is None:
            rows = seen.pop()
        else:
            self._down_rows.push(seen[-1])
            self._down_pixels.start_row(i)
            if not self._odd_row:
                self._up_rows.push(self._coarser.start_row(i // 2, self._down_rows.output(i // 2)))
            rows = self._up_rows.outputs[self._odd_row]
        for layer in self._up:
            rows = layer.start_row(i, rows, [seen.pop()])
        return rows

    def pixel(self, j: int, pixels: Tensor) -> Tensor:
        """Column j of the stream `pixels`, (B, h) → (B, h)."""
        seen = [pixels]
        for layer in self._down:
            seen.append(layer.pixel(j, seen[-1], []))
        if self._coarser is None:
            pixels = seen.pop()
        else:
            self._down_pixels.inputs[j].copy_(seen[-1])
            if not self._odd_row and not j % 2:
                self._up_pixels.push(j // 2, self._coarser.pixel(j // 2, self._down_pixels.pixel(j)))
            pixels = self._up_pixels.outputs[self._odd_row][j]
        for layer in self._up:
            pixels = layer.pixel(j, pixels, [seen.pop()])
        return pixels


class _PixelCNNppSteps(Steps):
    def __init__(self, network: PixelCNNppNetwork, batch_size: int, width: int, condition: Tensor | None):
        super().__init__(condition, network.scale.period)
        self._first_rows = RowSteps(network.first_rows, batch_size, width)
        self._first_above = RowSteps(network.first_above, batch_size, width)
        weight = network.first_left.weight.detach()
        self._above_left, self._left = weight[..., 0].permute(2, 1, 0).contiguous()  # (C + 1, h) each
        self._bias = network.first_left.bias.detach()
        self._scale = _ScaleSteps(network.scale, batch_size, width, condition)
        self._last, self._last_bias = matrix_of(network.last.weight), network.last.bias.detach()
        # The row with the channel of ones, after a column of padding.
        C = weight.shape[1] - 1
        self._row = weight.new_zeros(1 + width, batch_size, C + 1)
        self._row[1:, :, C] = 1
        self.inputs = [pixel[:, :C] for pixel in self._row[1:]]
        self._lefts = self._row.unbind()

    def start_row(self, i: int) -> None:
        row = self._row if i else torch.zeros_like(self._row)
        self._base = self._first_above(i, row[1:]) + row[:-1] @ self._above_left + self._bias
        self._scale.start_row(i, self._first_rows(i, row[1:]))

    def pixel(self, j: int) -> Tensor:
        pixels = torch.addmm(self._base[j], self._lefts[j], self._left)
        return torch.addmm(self._last_bias, F.elu_(self._scale.pixel(j, pixels)), self._last)
