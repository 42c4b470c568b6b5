"""From stored levels to what a model sees: scaling, binarization, dequantization, flips.

Throughout, `levels` are uint8 images (B, C, H, W) with values 0 … L - 1, where L is `num_levels`; the intensity of
level k is k / (L - 1). Each random draw takes its generator, on the device of the levels. With `total`, what is drawn
is that of positions `first` … first + B - 1 of a batch of so many: devices that share it draw what one would for all.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def intensity(levels: Tensor, num_levels: int) -> Tensor:
    """k / (L - 1), float32 in [0, 1]."""
    x = levels.float()
    return x if num_levels == 2 else x.div_(num_levels - 1)


def at_least_half(levels: Tensor, num_levels: int) -> Tensor:
    """1 where the intensity is at least one half, else 0; uint8."""
    return (levels >= num_levels // 2).to(torch.uint8)  # ⌊L / 2⌋ is the lowest level k with 2k ≥ L - 1


def draw_binary(
    levels: Tensor, num_levels: int, generator: Generator, first: int = 0, total: int | None = None
) -> Tensor:
    """1 with a probability equal to the intensity, else 0, independently for each sub-pixel; bool."""
    return _uniform(levels, levels.shape[1:], generator, first, total) < intensity(levels, num_levels)


def dequantize(
    levels: Tensor, num_levels: int, generator: Generator, first: int = 0, total: int | None = None
) -> Tensor:
    """(k + u) / L with u uniform in [0, 1); float32 in [0, 1), and ⌊L x⌋ gives the level back.

    A density of such x bounds the probability of the levels from below (Theis, van den Oord, Bethge: A note on the
    evaluation of generative models, 2015, arXiv 1511.01844), up to the constant log L per sub-pixel.
    """
    uniform = _uniform(levels, levels.shape[1:], generator, first, total)
    # float32 keeps 16 binary places beside a level of 8 bits: without the bound, 255 + u would round up to 256.
    return uniform.clamp_(max=1 - 2**-16).add_(levels).div_(num_levels)


def flip(levels: Tensor, generator: Generator, first: int = 0, total: int | None = None) -> Tensor:
    """Mirrors each image left to right with probability one half."""
    count = len(levels)
    turned = mirrored(count if total is None else total, generator)[first : first + count]
    return torch.where(turned, levels.flip(-1), levels)


def mirrored(count: int, generator: Generator) -> Tensor:
    """Which of `count` images are mirrored, (count, 1, 1, 1), bool, on the generator's device."""
    return torch.rand(count, 1, 1, 1, generator=generator, device=generator.device) < 0.5


def _uniform(levels: Tensor, shape: Sequence[int], generator: Generator, first: int, total: int | None) -> Tensor:
    """Uniform in [0, 1), (B, *shape)."""
    count = len(levels)
    drawn = torch.rand(count if total is None else total, *shape, generator=generator, device=levels.device)
    return drawn[first : first + count]
