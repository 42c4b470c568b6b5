"""The standard logistic prior of NICE."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pmodel.distributions.noise import uniform
from pmodel.settings.ranges import Count


class StandardLogistic(nn.Module):
    """p(z) = Π_i e^(−z_i) / (1 + e^(−z_i))² of codes z (B, D)."""

    def __init__(self, latent_dim: Count):
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_dim), persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), nats, (B,)."""
        return (F.logsigmoid(z) + F.logsigmoid(-z)).sum(1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes, (n, D)."""
        # Neither 0 nor 1, of which the logit is infinite.
        return uniform((n, len(self.mean)), self.mean, generator).clamp(2**-24, 1 - 2**-24).logit()
