"""Continuous data: dequantized images and points."""

import math

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions.likelihood import Likelihood
from pmodel.distributions.noise import normal
from pmodel.nets.precision import upcast

# Below this the density of a constant pixel grows without end and says nothing about the rest of the image.
MIN_SCALE = 1e-3


class Gaussian(Likelihood):
    """N(x; mean, scale²), independent for each dimension, one scale for all of them. Parameters: means (B, C, …).

    `scale` is a positive number, or "learned": one weight, whose optimum is the root mean squared error of the
    means (Rybkin et al., Simple and Effective VAE Training with Calibrated Decoders, 2021, arXiv 2006.13202).
    This is a density: its nats are not comparable with those of likelihoods on levels.
    """

    def __init__(self, scale: float | str = "learned"):
        super().__init__()
        if scale == "learned":
            self.log_scale = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("log_scale", torch.tensor(math.log(scale)))

    @property
    def scale(self) -> Tensor:
        """The standard deviation, a scalar."""
        return self.log_scale.clamp(min=math.log(MIN_SCALE)).exp()

    def num_parameters(self, channels: int) -> int:
        return channels

    def log_prob_per_position(self, parameters: Tensor, x: Tensor) -> Tensor:
        z = (x - upcast(parameters)) / self.scale
        return (-0.5 * z.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)).sum(1)

    def noise(self, parameters: Tensor, generator: Generator | None = None) -> tuple[Tensor, ...]:
        return (normal(tuple(parameters.shape), upcast(parameters), generator),)

    def draw(self, parameters: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        return self.mean(parameters) + self.scale * noise[0]

    def mean(self, parameters: Tensor) -> Tensor:
        return upcast(parameters)
