"""Random numbers from a generator that may live on another device than the result."""

import torch
from torch import Generator, Tensor


def normal(shape: tuple[int, ...], like: Tensor, generator: Generator | None = None) -> Tensor:
    """Standard normal numbers on the device of `like`, drawn on the generator's device: the same ones everywhere."""
    device = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device).to(like)


def uniform(shape: tuple[int, ...], like: Tensor, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [0, 1), likewise."""
    device = like.device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device).to(like)


def gumbel(shape: tuple[int, ...], like: Tensor, generator: Generator | None = None) -> Tensor:
    """Standard Gumbel numbers, −log(−log u): adding them to logits and taking the argmax draws a category."""
    tiny = torch.finfo(torch.float32).tiny
    exponential = -torch.log(uniform(shape, like, generator).clamp(min=tiny))
    return -torch.log(exponential.clamp(min=tiny))
