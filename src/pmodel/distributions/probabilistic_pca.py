"""Principal components and the Gaussian they imply (Tipping & Bishop, Probabilistic PCA, 1999)."""

import math

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions.noise import normal

# How many times float64's rounding error an eigenvalue must be to count as a variance.
ROUNDING = 32


class ProbabilisticPCA(nn.Module):
    """N(x; m, U Λ Uᵀ + σ² (I − U Uᵀ)) over D dimensions with M principal directions; all in float64.

    Buffers: mean m (D,); components Uᵀ (M, D), orthonormal rows, each with its largest entry positive; variances, the
    diagonal of Λ, (M,), falling; noise_variance σ², the mean variance along the D − M other directions, 0 if M = D;
    total_variance, the sum of all D. Variances divide by N − 1, as scikit-learn's do; maximum likelihood would by N.

    N points vary in N − 1 directions at most, and along the others, or where nothing but rounding is left, variances
    are 0. The points have a density only if Λ and, with M < D, σ² are above 0: see `has_density`.
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

    def fit(self, sums: dict[str, Tensor], count: int) -> None:
        """Mean, directions and variances from the `moments` of `count` points, at least 2, about the present mean."""
        if count < 2:
            raise ValueError(f"data.limit: {count} training example has no variance, expected at least 2")
        M = len(self.components)
        shift = sums["first"] / count
        covariance = (sums["second"] - count * torch.outer(shift, shift)) / (count - 1)
        variances, vectors = eigen(covariance)
        variances[count - 1 :] = 0
        components = vectors.T
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        self.components.copy_((components * largest.sign())[:M])
        self.variances.copy_(variances[:M])
        self.noise_variance.copy_(variances[M:].mean() if len(variances) > M else torch.zeros(()))
        self.total_variance.copy_(variances.sum())
        self.mean += shift

    @property
    def has_density(self) -> bool:
        """Whether the points vary in each of the M directions, and in one of the others if there are any."""
        M, D = self.components.shape
        return bool((self.variances > 0).all() and (M == D or self.noise_variance > 0))

    @property
    def rank(self) -> int:
        """Along how many of the M directions the points vary."""
        return int((self.variances > 0).sum())

    def standard_deviations(self) -> Tensor:
        """Of the codes, (M,); 1 where they don't vary."""
        return torch.where(self.variances > 0, self.variances, 1).sqrt()

    def explained_variance(self) -> Tensor:
        """The share of the total variance along each direction, (M,)."""
        return self.variances / self.total_variance.clamp_min(torch.finfo(torch.float64).tiny)

    def encode(self, x: Tensor) -> Tensor:
        """z = Uᵀ(x − m), (B, M), float64."""
        return (x - self.mean) @ self.components.T

    def decode(self, z: Tensor) -> Tensor:
        """m + U z, (B, D), float64."""
        return self.mean + z.double() @ self.components

    def log_prob_outside(self, x: Tensor, z: Tensor) -> Tensor:
        """log N(r; 0, σ² I) of what the codes z of x leave out, in the D − M other directions, nats, (B,)."""
        M, D = self.components.shape
        noise = self.noise_variance
        # The difference of two large squares would lose digits.
        squared = torch.linalg.vector_norm(x - self.decode(z), dim=1).square()
        return -0.5 * (squared / noise + (D - M) * (2 * math.pi * noise).log()) if M < D else torch.zeros_like(squared)

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x; m, U Λ Uᵀ + σ² (I − U Uᵀ)), nats, (B,), float64; only if there `has_density`."""
        z = self.encode(x)
        inside = -0.5 * (z.square() / self.variances + (2 * math.pi * self.variances).log()).sum(1)
        return inside + self.log_prob_outside(x, z)

    def sample_outside(self, n: int, generator: Generator | None) -> Tensor:
        """σ ε in the D − M other directions, (n, D), float64."""
        noise = normal((n, len(self.mean)), self.mean, generator)
        return self.noise_variance.sqrt() * (noise - (noise @ self.components.T) @ self.components)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, D), float64."""
        z = self.variances.sqrt() * normal((n, len(self.variances)), self.mean, generator)
        return self.decode(z) + self.sample_outside(n, generator)


def eigen(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (D,), falling, and eigenvectors as columns (D, D) of a covariance matrix (D, D), float64.

    A solver's error is a share of the largest eigenvalue; of columns in very different units the small eigenvalues
    would be nothing but that error. So what is far below the largest is solved again, in the space that is left, where
    its own size counts. What is no larger than the rounding of the matrix's own entries is 0.
    """
    eps = torch.finfo(covariance.dtype).eps
    values, vectors = (part.flip(-1) for part in torch.linalg.eigh(covariance))
    first, D = 0, len(values)
    while True:
        first += int((values[first:] > eps**0.5 * values[first]).sum())
        if first in (0, D) or not values[first - 1] > 0:
            break
        rest = vectors[:, first:]
        own, turned = (part.flip(-1) for part in torch.linalg.eigh(rest.T @ covariance @ rest))
        values[first:], vectors[:, first:] = own, rest @ turned
        if not own[0] > 0:
            break
    deviations = covariance.diagonal().clamp_min(0).sqrt()
    # Each entry is rounded to a share of the two deviations' product, and the vectors to one of their length.
    error = ROUNDING * eps * (deviations @ vectors.abs()).square() + (ROUNDING * eps) ** 2 * values[0]
    values[values <= error] = 0
    values, order = values.sort(descending=True, stable=True)
    return values, vectors[:, order]
