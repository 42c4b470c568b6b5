"""Binary images."""

import torch.nn.functional as F
from torch import Generator, Tensor

from pmodel.distributions.likelihood import Likelihood
from pmodel.distributions.noise import uniform
from pmodel.nets.precision import upcast


class Bernoulli(Likelihood):
    """p(x = 1) = σ(logit), independent for each sub-pixel. Parameters: logits (B, C, …); x is 0 or 1.

    On grey values in between, the cross-entropy that this computes is no log-probability.
    """

    def num_parameters(self, channels: int) -> int:
        return channels

    def log_prob_per_position(self, parameters: Tensor, x: Tensor) -> Tensor:
        logits = upcast(parameters)
        return -F.binary_cross_entropy_with_logits(logits, x.to(logits), reduction="none").sum(1)

    def noise(self, parameters: Tensor, generator: Generator | None = None) -> tuple[Tensor, ...]:
        return (uniform(tuple(parameters.shape), upcast(parameters), generator),)

    def draw(self, parameters: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        return (noise[0] < self.mean(parameters)).float()

    def mean(self, parameters: Tensor) -> Tensor:
        return upcast(parameters).sigmoid()
