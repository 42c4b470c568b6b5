"""Noise in the place of what was rounded off: u in [0, 1) that is added to levels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.flows.coupling import ConvNetwork, Coupling, checkerboard

# Below 1: level 255 + u must not be rounded up to 256 in float32.
LARGEST = 1 - 2**-16


class Uniform(nn.Module):
    """u is uniform, whatever the image."""

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """u of uniform noise like images x (B, C, H, W), and log q(u | x), nats, (B,)."""
        return noise.clamp(max=LARGEST), noise.new_zeros(len(x))


class Variational(nn.Module):
    """q(u | x) is a flow's that sees the image: u = sigmoid(g(ε; x)) with affine couplings g (Ho et al., Flow++, 2019,
    arXiv 1902.00275, section 3.1).

    ε is logistic and not, as in the paper, normal: so u starts out uniform, and is never worse than that for long.
    """

    def __init__(self, shape: tuple[int, int, int], num_couplings: int, hidden_channels: int, num_blocks: int):
        super().__init__()
        C, H, W = shape
        self.couplings = nn.ModuleList(
            Coupling(checkerboard(H, W, i % 2), ConvNetwork(2 * C, 2 * C, hidden_channels, num_blocks))
            for i in range(num_couplings)
        )

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """u of uniform noise like images x (B, C, H, W), and log q(u | x), nats, (B,)."""
        v = noise.clamp(2**-20, LARGEST).logit()
        log_q = _log_logistic(v)
        for coupling in self.couplings:
            v, log_det = coupling(v, 2 * x - 1)
            log_q = log_q - log_det
        # du/dv = u (1 − u), which is the logistic density at v.
        return v.sigmoid().clamp(max=LARGEST), log_q - _log_logistic(v)


def _log_logistic(v: Tensor) -> Tensor:
    """log of the standard logistic density, summed over all but the first axis."""
    return (F.logsigmoid(v) + F.logsigmoid(-v)).flatten(1).sum(1)


def from_levels(x: Tensor, u: Tensor, num_levels: int) -> Tensor:
    """(k + u) / L of images x on L levels, x = k / (L − 1); in [0, 1)."""
    return ((x * (num_levels - 1)).round() + u) / num_levels


def to_levels(y: Tensor, num_levels: int) -> Tensor:
    """The image k / (L − 1) whose level k = ⌊L y⌋ has y in its cell, or is next to it."""
    return torch.floor(y * num_levels).clamp(0, num_levels - 1) / (num_levels - 1)
