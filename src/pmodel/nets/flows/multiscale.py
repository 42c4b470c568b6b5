"""Flows of images in several scales: after each, half of what there is is done, and the rest goes on."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pmodel.nets.flows.coupling import ConvNetwork, Coupling, bounded, channels, checkerboard
from pmodel.nets.flows.layers import ActNorm, FlowLayer, InvertibleConv, Sequence, Squeeze
from pmodel.nets.precision import upcast

# (C, H, W) and the number of a scale, from 0.
Scale = Callable[[tuple[int, int, int], int], tuple[list[FlowLayer], tuple[int, int, int]]]


class Split(FlowLayer):
    """The second half of the channels, b, becomes (b − μ) / σ, with μ and σ a convolution's of the first half, so that
    it is standard normal where the model is right (Glow's learned prior of what is factored out); the first half stays.
    """

    def __init__(self, num_channels: int):
        super().__init__()
        self.num_kept = (num_channels + 1) // 2
        self.network = nn.Conv2d(self.num_kept, 2 * (num_channels - self.num_kept), 3, padding=1)
        nn.init.zeros_(self.network.weight)
        nn.init.zeros_(self.network.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x[:, : self.num_kept], x[:, self.num_kept :]
        mean, log_std = self._mean_and_log_std(a)
        return torch.cat([a, (b - mean) * (-log_std).exp()], dim=1), -log_std.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        a, b = z[:, : self.num_kept], z[:, self.num_kept :]
        mean, log_std = self._mean_and_log_std(a)
        return torch.cat([a, b * log_std.exp() + mean], dim=1)

    def _mean_and_log_std(self, a: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = upcast(self.network(a)).chunk(2, dim=1)
        return mean, bounded(raw)


class MultiScale(FlowLayer):
    """Images (B, C, H, W) ↔ z (B, D), the parts of all scales, first to last.

    After each scale but the last, a `Split` sets half of the channels aside (RealNVP, section 3.6). There is another
    scale while there are fewer than `num_scales`, and height and width are even or, of the first one, whatever they
    are.

    Args:
        scale: the layers of a scale, of images of a shape, and the shape that they give.
    """

    def __init__(self, shape: tuple[int, int, int], num_scales: int, scale: Scale):
        super().__init__()
        self.scales, self.splits, self.parts = nn.ModuleList(), nn.ModuleList(), []
        for i in range(num_scales):
            layers, shape = scale(shape, i)
            self.scales.append(Sequence(*layers))
            C, H, W = shape
            if i == num_scales - 1 or not can_squeeze(shape):
                break
            self.splits.append(Split(C))
            kept = self.splits[-1].num_kept
            self.parts.append((C - kept, H, W))
            shape = (kept, H, W)
        self.parts.append(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, total = self.scales[0](x)
        done = []
        for split, scale in zip(self.splits, self.scales[1:], strict=True):
            x, log_det_of_split = split(x)
            done.append(x[:, split.num_kept :].flatten(1))
            x, log_det = scale(x[:, : split.num_kept])
            total = total + log_det_of_split + log_det
        return torch.cat([*done, x.flatten(1)], dim=1), total

    def inverse(self, z: Tensor) -> Tensor:
        sizes = [torch.Size(part).numel() for part in self.parts]
        *done, z = (part.view(-1, *shape) for part, shape in zip(z.split(sizes, dim=1), self.parts, strict=True))
        for split, scale, part in zip(self.splits[::-1], self.scales[:0:-1], reversed(done), strict=True):
            z = split.inverse(torch.cat([scale.inverse(z), part], dim=1))
        return self.scales[0].inverse(z)


def can_squeeze(shape: tuple[int, int, int]) -> bool:
    """Whether height and width are even."""
    return shape[1] % 2 == 0 and shape[2] % 2 == 0


def conv_coupling(shape: tuple[int, int, int], kept: Tensor, hidden_channels: int, num_blocks: int) -> Coupling:
    """An affine coupling of images of a shape."""
    return Coupling(kept, ConvNetwork(shape[0], 2 * shape[0], hidden_channels, num_blocks))


def realnvp_scale(num_couplings: int, hidden_channels: int, num_blocks: int) -> Scale:
    """Of RealNVP: couplings of a checkerboard, and where height and width are even a squeeze and as many couplings of
    channels, with an `ActNorm` before each, in place of the paper's batch normalization. The second scale's networks
    have twice as many channels, and so on."""

    def layers(shape: tuple[int, int, int], i: int) -> tuple[list[FlowLayer], tuple[int, int, int]]:
        C, H, W = shape
        found: list[FlowLayer] = []
        for j in range(num_couplings):
            kept = checkerboard(H, W, j % 2)
            found += [ActNorm(C), conv_coupling(shape, kept, hidden_channels * 2**i, num_blocks)]
        if can_squeeze(shape):
            shape = (4 * C, H // 2, W // 2)
            found.append(Squeeze())
            for j in range(num_couplings):
                kept = channels(4 * C, j % 2)
                found += [ActNorm(4 * C), conv_coupling(shape, kept, hidden_channels * 2 ** (i + 1), num_blocks)]
        return [*found, ActNorm(shape[0])], shape

    return layers


def glow_scale(num_steps: int, hidden_channels: int, num_blocks: int) -> Scale:
    """Of Glow: a squeeze where height and width are even, and steps of an `ActNorm`, an `InvertibleConv` and a coupling
    of channels; of a single channel, couplings of a checkerboard."""

    def layers(shape: tuple[int, int, int], i: int) -> tuple[list[FlowLayer], tuple[int, int, int]]:
        C, H, W = shape
        found: list[FlowLayer] = []
        if can_squeeze(shape):
            C, H, W = shape = (4 * C, H // 2, W // 2)
            found.append(Squeeze())
        for j in range(num_steps):
            kept = channels(C, 0) if C > 1 else checkerboard(H, W, j % 2)
            mixing = [InvertibleConv(C)] if C > 1 else []
            found += [ActNorm(C), *mixing, conv_coupling(shape, kept, hidden_channels, num_blocks)]
        return found, shape

    return layers
