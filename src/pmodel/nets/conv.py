"""Convolutional encoder and decoder, for images of any height and width from 8×8 up."""

import math

import torch
from torch import Tensor, nn

from pmodel.nets.activations import Activation, activation_layer
from pmodel.settings.ranges import Count, Counts


def halved_sizes(height: int, width: int, stages: int) -> list[tuple[int, int]]:
    """Height and width before the first and after each of the stride-2 stages, rounding up."""
    return [(-(-height // 2**n), -(-width // 2**n)) for n in range(stages + 1)]


def _check_image(name: str, shape: list[int], stages: int) -> None:
    if stages < 1:
        raise ValueError(f"{name}=[]: expected the channels of at least one stage")
    if len(shape) != 3 or min(shape[1:]) < 2**stages:
        raise ValueError(
            f"{name}: {stages} stride-2 stages need images (C, H, W) of at least {2**stages}×{2**stages},"
            f" got shape {tuple(shape)}; for points choose model/network=mlp (of a classifier, model/encoder=mlp)"
        )


class ConvEncoder(nn.Module):
    """Images (B, C, H, W) → outputs (B, num_outputs).

    Each entry of `channels` is a 3×3 convolution with stride 2, then one 3×3 convolution at that size; a hidden
    linear layer follows.
    """

    def __init__(
        self,
        data_shape: Counts,
        num_outputs: Count,
        channels: Counts,
        hidden_dim: Count = 256,
        activation: Activation = "silu",
    ):
        super().__init__()
        _check_image("encoder.channels", data_shape, len(channels))
        in_channels, height, width = data_shape
        layers: list[nn.Module] = []
        for n_in, n_out in zip([in_channels, *channels], channels, strict=False):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), activation_layer(activation)]
            layers += [nn.Conv2d(n_out, n_out, 3, padding=1), activation_layer(activation)]
        last_height, last_width = halved_sizes(height, width, len(channels))[-1]
        self.net = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(channels[-1] * last_height * last_width, hidden_dim),
            activation_layer(activation),
            nn.Linear(hidden_dim, num_outputs),
        )
        self.to(memory_format=torch.channels_last)  # faster on GPUs, and in bfloat16 on CPUs

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class ConvDecoder(nn.Module):
    """Codes (B, latent_dim) → (B, P, H, W), the mirror image of `ConvEncoder`.

    Each entry of `channels` is a 3×3 convolution and a transposed one with stride 2 that restores the exact size,
    odd ones too.
    """

    def __init__(
        self,
        latent_dim: Count,
        output_shape: Counts,
        channels: Counts,
        hidden_dim: Count = 256,
        activation: Activation = "silu",
    ):
        super().__init__()
        _check_image("decoder.channels", output_shape, len(channels))
        out_channels, height, width = output_shape
        sizes = halved_sizes(height, width, len(channels))[::-1]
        stages: list[nn.Module] = []
        for i, n_in in enumerate(channels):
            n_out = channels[i + 1] if i + 1 < len(channels) else n_in
            # A stride-2 transposed convolution makes 2n − 1 of n rows; output_padding adds the missing one.
            extra = tuple(target - (2 * n - 1) for n, target in zip(sizes[i], sizes[i + 1], strict=True))
            stages += [nn.Conv2d(n_in, n_in, 3, padding=1), activation_layer(activation)]
            stages += [
                nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=extra),
                activation_layer(activation),
            ]
        self.net = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            activation_layer(activation),
            nn.Linear(hidden_dim, channels[0] * math.prod(sizes[0])),
            activation_layer(activation),
            nn.Unflatten(1, (channels[0], *sizes[0])),
            *stages,
            nn.Conv2d(channels[-1], out_channels, 3, padding=1),
        )
        self.to(memory_format=torch.channels_last)  # faster on GPUs, and in bfloat16 on CPUs

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)
