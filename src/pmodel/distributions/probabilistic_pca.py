"""Principal components and the Gaussian they imply (Tipping & Bishop, Probabilistic PCA, 1999)."""

import math

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions.moments import moments, moments_of_levels
from pmodel.distributions.noise import normal

# Variances below this share of the largest count as this share in the density, which would be infinite without it.
FLOOR = 1e-12


class ProbabilisticPCA(nn.Module):
    """N(x; m, U Λ Uᵀ + σ² (I − U Uᵀ)) over D dimensions with M principal directions; all in float64.

    Buffers: mean m (D,); components Uᵀ (M, D), orthonormal rows, each with its largest entry positive; variances, the
    diagonal of Λ, (M,), falling; noise_variance σ², the mean variance along the D − M other directions, 0 if M = D;
    total_variance, the sum of all D. Variances divide by N − 1, as scikit-learn's do; maximum likelihood would by N.
    """

    def __init__(self, num_components: int, num_dims: int):
        super().__init__()
        M, D = num_components, num_dims
        self.register_buffer("mean", torch.zeros(D, dtype=torch.float64))
        self.register_buffer("components", torch.eye(M, D, dtype=torch.float64))
        self.register_buffer("variances", torch.ones(M, dtype=torch.float64))
        self.register_buffer("noise_variance", torch.ones((), dtype=torch.float64) * (M < D))
        self.register_buffer("total_variance", torch.tensor(float(D), dtype=torch.float64))

    @property
    def num_parameters(self) -> int:
        """The mean, an orthonormal basis, and the variances."""
        M, D = self.components.shape
        return D + M * D - M * (M + 1) // 2 + M + (M < D)

    def moments(self, x: Tensor) -> dict[str, Tensor]:
        """Sums over points x (B, D) about the present mean, float64: `first` (D,), `second` (D, D)."""
        return moments(x, self.mean)

    def moments_of_levels(self, levels: Tensor, num_levels: int) -> dict[str, Tensor]:
        """The same of pictures that are given as levels (B, D), uint8."""
        return moments_of_levels(levels, num_levels, self.mean)

    def fit(self, sums: dict[str, Tensor], count: int) -> None:
        """Mean, directions and variances from the sums over `count` points, at least 2."""
        if count < 2:
            raise ValueError(f"data.limit: {count} training example has no variance, expected at least 2")
        M = len(self.components)
        shift = sums["first"] / count
        covariance = (sums["second"] - count * torch.outer(shift, shift)) / (count - 1)
        variances, vectors = torch.linalg.eigh(covariance)
        variances, components = variances.flip(0).clamp_min(0), vectors.T.flip(0)
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        self.components.copy_((components * largest.sign())[:M])
        self.variances.copy_(variances[:M])
        self.noise_variance.copy_(variances[M:].mean() if len(variances) > M else torch.zeros(()))
        self.total_variance.copy_(variances.sum())
        self.mean += shift

    def explained_variance(self) -> Tensor:
        """The share of the total variance along each direction, (M,)."""
        return self.variances / self.total_variance.clamp_min(torch.finfo(torch.float64).tiny)

    def encode(self, x: Tensor) -> Tensor:
        """z = Uᵀ(x − m), (B, M), float64."""
        return (x - self.mean) @ self.components.T

    def decode(self, z: Tensor) -> Tensor:
        """m + U z, (B, D), float64."""
        return self.mean + z.double() @ self.components

    def floored(self) -> tuple[Tensor, Tensor]:
        """Λ and σ² as the density uses them."""
        floor = FLOOR * self.variances.max().clamp_min(torch.finfo(torch.float64).tiny)
        return self.variances.clamp_min(floor), self.noise_variance.clamp_min(floor)

    def log_prob_outside(self, x: Tensor, z: Tensor) -> Tensor:
        """log N(r; 0, σ² I) of what the codes z of x leave out, in the D − M other directions, nats, (B,)."""
        M, D = self.components.shape
        _, noise = self.floored()
        # The difference of two large squares would lose digits.
        squared = torch.linalg.vector_norm(x - self.decode(z), dim=1).square()
        return -0.5 * (squared / noise + (D - M) * (2 * math.pi * noise).log()) if M < D else torch.zeros_like(squared)

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x; m, U Λ Uᵀ + σ² (I − U Uᵀ)), nats, (B,), float64."""
        z = self.encode(x)
        variances, _ = self.floored()
        inside = -0.5 * (z.square() / variances + (2 * math.pi * variances).log()).sum(1)
        return inside + self.log_prob_outside(x, z)

    def sample_outside(self, n: int, generator: Generator | None) -> Tensor:
        """σ ε in the D − M other directions, (n, D), float64."""
        noise = normal((n, len(self.mean)), self.mean, generator)
        return self.noise_variance.sqrt() * (noise - (noise @ self.components.T) @ self.components)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, D), float64."""
        z = self.variances.sqrt() * normal((n, len(self.variances)), self.mean, generator)
        return self.decode(z) + self.sample_outside(n, generator)
