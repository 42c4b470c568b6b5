"""Binary pictures."""

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

    def sample(self, parameters: Tensor, *, generator: Generator | None = None) -> Tensor:
        p = self.mean(parameters)
        return (uniform(tuple(p.shape), p, generator) < p).float()

    def mean(self, parameters: Tensor) -> Tensor:
        return upcast(parameters).sigmoid()
