"""The networks of DCGAN (Radford et al.: Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, 2016, arXiv 1511.06434)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from pmodel.nets.normalization import Norm, norm_layer
from pmodel.settings.ranges import Count, Counts

# Height or width of an image, and the size that it is halved to; 8×8 would have one layer if it ended at 4×4.
BASE_SIZES = {**{7 * 2**n: 7 for n in range(4)}, 8: 2, **{8 * 2**n: 4 for n in range(1, 4)}}


def smallest_map(data_shape: list[int]) -> tuple[int, tuple[int, int]]:
    """How often images (C, H, W) are halved, and the height and width that this leaves, 2, 4 or 7 each.

    Raises:
        ValueError: for points, and for sizes that are no power-of-two multiple of 7 or 8 up to 64.
    """
    sizes = tuple(data_shape[1:])
    halvings = {(size // BASE_SIZES[size]).bit_length() - 1 for size in sizes if size in BASE_SIZES}
    if len(data_shape) != 3 or len(halvings) != 1 or not set(sizes) <= set(BASE_SIZES):
        listed = ", ".join(map(str, sorted(BASE_SIZES)))
        raise ValueError(
            f"data.shape={list(data_shape)}: expected images [C, H, W], both H and W one of {listed} and halved as"
            " often, for these networks; model=gan takes any shape"
        )
    return halvings.pop(), tuple(BASE_SIZES[size] for size in sizes)


class DCGANGenerator(nn.Module):
    """Codes (B, latent_dim) → images (B, C, H, W), before the last tanh.

    A projection to maps of 2×2, 4×4 or 7×7 and transposed convolutions that double them, with batch normalization and
    ReLU; neither after the last one. Kernels are 4×4, not 5×5: with stride 2 every output sees equally many inputs.

    Args:
        channels: maps of the last hidden layer; each one before has twice as many.
        norm: batch, layer or none.
    """

    def __init__(self, latent_dim: Count, output_shape: Counts, channels: Count, norm: Norm = "batch"):
        super().__init__()
        stages, base = smallest_map(output_shape)
        widths = [channels * 2**i for i in reversed(range(max(stages, 1)))]
        layers: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1)), nn.ConvTranspose2d(latent_dim, widths[0], base)]
        for n_in, n_out in pairwise(widths):
            layers += [norm_layer(norm, n_in), nn.ReLU(), nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)]
        layers += [norm_layer(norm, channels), nn.ReLU()]
        last, kernel, stride = (nn.ConvTranspose2d, 4, 2) if stages else (nn.Conv2d, 3, 1)
        layers.append(last(channels, output_shape[0], kernel, stride, padding=1))
        self.net = nn.Sequential(*layers)
        initialize(self)
        self.to(memory_format=torch.channels_last)  # faster on GPUs, and in bfloat16 on CPUs

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class DCGANDiscriminator(nn.Module):
    """Images (B, C, H, W) → outputs (B, num_outputs).

    Convolutions with stride 2 down to 2×2, 4×4 or 7×7, with batch normalization but in the first, and leaky ReLU; then
    one linear layer.

    Args:
        channels: maps of the first layer; each one after has twice as many.
        norm: batch, layer (for a gradient penalty, which is of single examples) or none (for spectral normalization).
    """

    def __init__(self, data_shape: Counts, num_outputs: Count, channels: Count, norm: Norm = "batch"):
        super().__init__()
        stages, (height, width) = smallest_map(data_shape)
        widths = [channels * 2**i for i in range(max(stages, 1))]
        kernel, stride = (4, 2) if stages else (3, 1)
        layers: list[nn.Module] = [nn.Conv2d(data_shape[0], channels, kernel, stride, padding=1), nn.LeakyReLU(0.2)]
        for n_in, n_out in pairwise(widths):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), norm_layer(norm, n_out), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * height * width, num_outputs))
        initialize(self)
        self.to(memory_format=torch.channels_last)  # faster on GPUs, and in bfloat16 on CPUs

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def initialize(network: nn.Module) -> None:
    """Weights from N(0, 0.02²), those of a normalization from N(1, 0.02²), biases 0, as the paper's code has them."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0, 0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(module.weight, 1, 0.02)
