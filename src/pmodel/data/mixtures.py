"""Toy densities on the line and in the plane, to sample from and, where they have a formula, to compare with."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class GaussianMixture:
    """Σ_k weight_k N(x; mean_k, std_k² I).

    weights: K positive numbers that add up to 1; means: K lists of D numbers; stds: K positive numbers
    """

    weights: list[float]
    means: list[list[float]]
    stds: list[float]

    def sample(self, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """n points (n, D), float32, and the components (n,), int64, from which they are drawn."""
        upper_edges = torch.tensor(self.weights).cumsum(0)[:-1]
        component = torch.bucketize(torch.rand(n, generator=generator), upper_edges, right=True)
        means, stds = torch.tensor(self.means), torch.tensor(self.stds)
        noise = torch.randn(n, means.shape[1], generator=generator)
        return means[component] + stds[component, None] * noise, component

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), nats, (B,), of points x (B, D); summed in float64, given back in the type of x."""
        constants = {"dtype": torch.float64, "device": x.device}
        weights, means, stds = (torch.tensor(part, **constants) for part in (self.weights, self.means, self.stds))
        squared = (x.double()[:, None] - means).div(stds[:, None]).square().sum(-1)
        log_normalizer = means.shape[1] * (stds.log() + 0.5 * math.log(2 * math.pi))
        return torch.logsumexp(weights.log() - log_normalizer - 0.5 * squared, dim=1).to(x.dtype)


# Of the noise around the half circles of `sample_moons`.
MOONS_STD = 0.1


def ring() -> GaussianMixture:
    """8 Gaussians with std 0.02 on a circle of radius 2 (Metz et al.: Unrolled GANs, 2017, arXiv 1611.02163)."""
    angles = [2 * math.pi * k / 8 for k in range(8)]
    return GaussianMixture([1 / 8] * 8, [[2 * math.cos(a), 2 * math.sin(a)] for a in angles], [0.02] * 8)


def grid() -> GaussianMixture:
    """25 Gaussians with std 0.05 at {-4, -2, 0, 2, 4}² (Lin et al.: PacGAN, 2018, arXiv 1712.04086)."""
    places = [-4.0, -2.0, 0.0, 2.0, 4.0]
    return GaussianMixture([1 / 25] * 25, [[a, b] for a in places for b in places], [0.05] * 25)


def blobs() -> GaussianMixture:
    """Five Gaussians in the plane, of different weights and widths; the widest overlaps its neighbours."""
    means = [[-3.0, -2.0], [-2.5, 2.5], [0.5, 0.0], [3.5, 2.5], [3.0, -2.5]]
    return GaussianMixture([0.25, 0.15, 0.3, 0.2, 0.1], means, [0.8, 0.4, 1.1, 0.6, 0.3])


def mixture_1d() -> GaussianMixture:
    """Three Gaussians on the line, of different weights and widths, two of which overlap."""
    return GaussianMixture([0.3, 0.5, 0.2], [[-2.0], [0.5], [2.5]], [0.4, 0.8, 0.3])


def sample_moons(n: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """n points (n, 2) on two interleaved half circles of radius 1, with Gaussian noise of std 0.1, and which (n,)."""
    moon = torch.randint(2, (n,), generator=generator)
    angle = math.pi * torch.rand(n, generator=generator)
    upper, lower = _arcs(angle)
    return torch.where(moon[:, None] == 0, upper, lower) + MOONS_STD * torch.randn(n, 2, generator=generator), moon


@cache
def moons_density() -> GaussianMixture:
    """The density of `sample_moons`, ½ Σ_moons 1/π ∫ N(x; c(a), 0.1² I) da over the angles 0 … π, as a mixture: the
    nodes and weights of the integral by the Gauss-Legendre rule are its means and weights.

    128 nodes on each arc agree with 1000 to 1e-9 nats within 2 of the arcs.
    """
    nodes, weights = np.polynomial.legendre.leggauss(128)
    centres = torch.cat(_arcs(torch.from_numpy(math.pi / 2 * (nodes + 1))))
    return GaussianMixture([*(weights / 4), *(weights / 4)], centres.tolist(), [MOONS_STD] * len(centres))


def _arcs(angle: Tensor) -> tuple[Tensor, Tensor]:
    """The points of the upper and of the lower half circle at angles (N,) from 0 to π, (N, 2) each."""
    upper = torch.stack([angle.cos(), angle.sin()], dim=1)
    return upper, torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=1)
