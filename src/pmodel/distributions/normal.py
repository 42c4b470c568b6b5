"""The prior that needs no training."""

import math

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions.noise import normal
from pmodel.settings.ranges import Count


class StandardNormal(nn.Module):
    """p(z) = N(z; 0, I) of codes z (B, D)."""

    def __init__(self, latent_dim: Count):
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_dim), persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), nats, (B,)."""
        return -0.5 * (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi))

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes, (n, D)."""
        return normal((n, len(self.mean)), self.mean, generator)

    def kl_from(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """KL(N(mean, exp(log_var)) ‖ p) of each dimension, nats, ≥ 0, (B, D)."""
        return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
