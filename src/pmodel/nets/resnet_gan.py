"""Small residual networks for GANs, as in Improved Training of Wasserstein GANs (Gulrajani et al., 2017, arXiv
1704.00028) and Spectral Normalization for GANs (Miyato et al., 2018, arXiv 1802.05957)."""

import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.dcgan import smallest_map
from pmodel.nets.normalization import Norm, norm_layer
from pmodel.settings.ranges import Count, Counts


class UpBlock(nn.Module):
    """(B, channels, H, W) → (B, channels, 2H, 2W): doubled by repetition, plus two convolutions of it."""

    def __init__(self, channels: int, norm: Norm):
        super().__init__()
        self.first = nn.Sequential(norm_layer(norm, channels), nn.ReLU())
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Sequential(norm_layer(norm, channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2) + self.second(self.conv(F.interpolate(self.first(x), scale_factor=2)))


class DownBlock(nn.Module):
    """(B, in_channels, H, W) → (B, channels, H/2, W/2), or of the same size: two convolutions, halved by averaging,
    plus one of 1×1. The first block of a network takes its input as it is, without normalization and ReLU."""

    def __init__(self, in_channels: int, channels: int, norm: Norm, halve: bool, first: bool = False):
        super().__init__()
        before = [] if first else [norm_layer(norm, in_channels), nn.ReLU()]
        between = [nn.ReLU()] if first else [norm_layer(norm, channels), nn.ReLU()]
        self.convs = nn.Sequential(
            *before,
            nn.Conv2d(in_channels, channels, 3, padding=1),
            *between,
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(in_channels, channels, 1) if in_channels != channels or halve else nn.Identity()
        self.halve = nn.AvgPool2d(2) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.halve(self.convs(x)) + self.shortcut(self.halve(x))


class ResNetGenerator(nn.Module):
    """Codes (B, latent_dim) → images (B, C, H, W), before the last tanh: one residual block for each doubling."""

    def __init__(self, latent_dim: Count, output_shape: Counts, channels: Count, norm: Norm = "batch"):
        super().__init__()
        stages, base = smallest_map(output_shape)
        self.net = nn.Sequential(
            nn.Linear(latent_dim, channels * base[0] * base[1]),
            nn.Unflatten(1, (channels, *base)),
            *(UpBlock(channels, norm) for _ in range(stages)),
            norm_layer(norm, channels),
            nn.ReLU(),
            nn.Conv2d(channels, output_shape[0], 3, padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class ResNetDiscriminator(nn.Module):
    """Images (B, C, H, W) → outputs (B, num_outputs): a residual block for each halving, one more at the smallest
    size, and a linear layer on the mean over its places."""

    def __init__(self, data_shape: Counts, num_outputs: Count, channels: Count, norm: Norm = "none"):
        super().__init__()
        stages, _ = smallest_map(data_shape)
        blocks = [DownBlock(data_shape[0], channels, norm, halve=stages > 0, first=True)]
        blocks += [DownBlock(channels, channels, norm, halve=True) for _ in range(stages - 1)]
        blocks.append(DownBlock(channels, channels, norm, halve=False))
        self.net = nn.Sequential(*blocks, nn.ReLU())
        self.head = nn.Linear(channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net(x).mean((2, 3)))
