"""The Fréchet distance between two sets of features, each taken for a Gaussian."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """The mean (D,) and the scatter Σ_n (x_n − mean)(x_n − mean)ᵀ (D, D) of `count` features, float64.

    Sums are about the mean of each part and added up as by Chan, Golub, LeVeque (Updating formulae and a pairwise
    algorithm for computing sample variances, 1979), so features far from 0 lose no digits.
    """

    mean: Tensor
    scatter: Tensor
    count: int

    @classmethod
    def of(cls, features: Tensor | Iterable[Tensor]) -> "Moments":
        """The moments of features (N, D), or of all parts of them together, on the CPU."""
        parts = [features] if isinstance(features, Tensor) else features
        total = None
        for part in parts:
            x = part.cpu().double()
            mean = x.mean(0)
            own = cls(mean, (x - mean).T @ (x - mean), len(x))
            total = own if total is None else total.joined(own)
        assert total is not None, "moments of no features"
        return total

    def joined(self, other: "Moments") -> "Moments":
        """The moments of both sets together."""
        count = self.count + other.count
        shift = other.mean - self.mean
        between = torch.outer(shift, shift) * (self.count * other.count / count)
        return Moments(self.mean + shift * (other.count / count), self.scatter + other.scatter + between, count)

    @property
    def covariance(self) -> Tensor:
        """The unbiased estimate (D, D); NaN of a single feature."""
        return self.scatter / (self.count - 1) if self.count > 1 else torch.full_like(self.scatter, math.nan)


def frechet_distance(a: Moments, b: Moments) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½): the squared 2-Wasserstein distance of two Gaussians (Dowson &
    Landau: The Fréchet distance between multivariate normal distributions, 1982); of Inception's features the FID
    (Heusel et al., 2017, arXiv 1706.08500).

    It is biased upwards in the counts, which belong beside it. NaN where a feature is not finite or a set has less than
    two; singular covariances are no obstacle.
    """
    covariances = a.covariance, b.covariance
    if not all(part.isfinite().all() for part in (a.mean, b.mean, *covariances)):
        return math.nan
    # tr (Σ_a Σ_b)^½ = tr (Σ_a^½ Σ_b Σ_a^½)^½ is the sum of the singular values of Σ_a^½ Σ_b^½; these keep the digits
    # that the roots of the product's eigenvalues lose.
    root_a, root_b = (_root(covariance) for covariance in covariances)
    trace_of_root = torch.linalg.svdvals(root_a @ root_b).sum()
    distance = (a.mean - b.mean).square().sum() + sum(covariance.trace() for covariance in covariances)
    return max((distance - 2 * trace_of_root).item(), 0.0)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a covariance (D, D).

    Eigenvalues of at most D ε λ_max, with float64's ε, count as 0. An eigenvalue is rounded by that much: a true 0 may
    come out as 1e-17, whose root 3e-9 would be the whole error, and another one on another processor.
    """
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    roundoff = len(values) * torch.finfo(values.dtype).eps * values[-1].clamp_min(0)
    return vectors * values.where(values > roundoff, 0).sqrt() @ vectors.T
