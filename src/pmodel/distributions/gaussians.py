"""K multivariate Gaussians side by side: densities, draws, and maximum likelihood from weighted moments."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions.noise import normal

CovarianceType = Literal["full", "tied", "diagonal", "spherical"]
# Numbers of (x − μ_k) held at once: 2^20 of float64 are 8 MiB; a tenth as many take twice the time.
CHUNK = 2**20


class Gaussians(nn.Module):
    """N(x; μ_k, Σ_k) for k = 1 … K over D dimensions; all in float64.

    covariance_type: `full`: any Σ_k; `tied`: one Σ for all; `diagonal`; `spherical`: Σ_k = σ_k² I.

    Buffers: means (K, D); scales, the square root of Σ: lower triangular (K, D, D), for tied (1, D, D), for diagonal
    standard deviations (K, D), for spherical (K, 1); regularizer (D,), what `maximize` added to each dimension's
    variance, in the square of its unit; constant (D,), whether all points had the same number there.
    """

    def __init__(self, num_components: int, num_dims: int, covariance_type: CovarianceType):
        super().__init__()
        self.covariance_type = covariance_type
        K, D = num_components, num_dims
        shape = {"full": (K, D, D), "tied": (1, D, D), "diagonal": (K, D), "spherical": (K, 1)}[covariance_type]
        identity = torch.eye(D, dtype=torch.float64) if self.triangular else torch.ones((), dtype=torch.float64)
        self.register_buffer("means", torch.zeros(K, D, dtype=torch.float64))
        self.register_buffer("scales", identity.expand(shape).clone())
        self.register_buffer("regularizer", torch.zeros(D, dtype=torch.float64))
        self.register_buffer("constant", torch.zeros(D, dtype=torch.bool))

    @property
    def triangular(self) -> bool:
        """Whether the dimensions may be correlated."""
        return self.covariance_type in ("full", "tied")

    @property
    def num_parameters(self) -> int:
        """The free numbers of the means and covariances."""
        K, D = self.means.shape
        triangle = D * (D + 1) // 2
        covariances = {"full": K * triangle, "tied": triangle, "diagonal": K * D, "spherical": K}
        return K * D + covariances[self.covariance_type]

    def covariances(self) -> Tensor:
        """Σ_k, (K, D, D)."""
        K, D = self.means.shape
        if self.triangular:
            return (self.scales @ self.scales.mT).expand(K, D, D)
        return torch.diag_embed(self.scales.square().expand(K, D))

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x; μ_k, Σ_k) of points x (B, D), nats, (B, K), float64."""
        whiten, constants = self._whitening(), self._log_constants()
        parts = [constants - 0.5 * whiten(part).square().sum(2) for part in self._chunks(x.double())]
        return torch.cat(parts)

    def _chunks(self, x: Tensor) -> tuple[Tensor, ...]:
        K, D = self.means.shape
        # With fewer rows than columns, adding up the (K, D, D) second moments would cost more than computing them.
        return x.split(max(1, CHUNK // (K * D), D if self.triangular else 1))

    def _whitening(self) -> Callable[[Tensor], Tensor]:
        """The map from points (B, D) to y_k = L_k⁻¹(x − μ_k), (B, K, D), with Σ_k = L_k L_kᵀ."""
        K, D = self.means.shape
        # Differences from a point among the means: far from zero, those of two products would lose digits.
        origin = self.means.mean(0)
        if not self.triangular:
            inverse = (1 / self.scales).expand(K, D)
            means = (self.means - origin) * inverse
            return lambda x: torch.addcmul(-means, (x - origin)[:, None], inverse)
        identity = torch.eye(D, dtype=torch.float64, device=origin.device).expand(K, D, D)
        inverse = torch.linalg.solve_triangular(self.scales.expand(K, D, D), identity, upper=False)
        means = (inverse @ (self.means - origin)[:, :, None]).flatten()
        # One product for all components.
        inverses = inverse.permute(2, 0, 1).reshape(D, K * D)
        return lambda x: torch.addmm(means, x - origin, inverses, beta=-1).view(len(x), K, D)

    def _log_constants(self) -> Tensor:
        """log N(μ_k; μ_k, Σ_k), (K,)."""
        K, D = self.means.shape
        scales = self.scales.diagonal(dim1=1, dim2=2) if self.triangular else self.scales
        return -scales.log().expand(K, D).sum(1) - 0.5 * D * math.log(2 * math.pi)

    def expectation(self, x: Tensor, log_weights: Tensor) -> dict[str, Tensor]:
        """The E step on points x (B, D) with log mixture weights (K,): the sums that `maximize` needs.

        With responsibilities r_nk = w_k N(x_n; μ_k, Σ_k) / p(x_n): `log_prob` Σ log p(x_n) (nats), and those of
        `moments`.
        """
        constants = self._log_constants() + log_weights
        total = torch.zeros_like(log_weights[0])

        def responsibilities(y: Tensor) -> Tensor:
            joint = constants - 0.5 * torch.linalg.vector_norm(y, dim=2).square()
            log_prob = joint.logsumexp(1)
            total.add_(log_prob.sum())
            return (joint - log_prob[:, None]).exp_()

        sums = self._sums(x, responsibilities)
        return {**sums, "log_prob": total}

    def moments(self, x: Tensor, responsibilities: Tensor) -> dict[str, Tensor]:
        """Sums over points x (B, D) weighted by r (B, K), about the present means: sums about zero would lose digits.

        `counts` Σ r_nk (K,), `first` Σ r_nk (x_n − μ_k) (K, D), `second` Σ r_nk (x_n − μ_k)(x_n − μ_k)ᵀ: (K, D, D),
        tied: summed over k (1, D, D), diagonal and spherical: its diagonal (K, D).
        """
        parts = iter(self._chunks(responsibilities.double()))
        return self._sums(x, lambda y: next(parts))

    def _sums(self, x: Tensor, responsibilities: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The sums of `moments`, taken of whitened points and brought back: Σ (x − μ)(x − μ)ᵀ = L (Σ y yᵀ) Lᵀ.

        `responsibilities` gives those (b, K) of the next points, whose whitened ones are y (b, K, D).
        """
        K, D = self.means.shape
        counts, first = torch.zeros_like(self.means[:, 0]), torch.zeros_like(self.means)
        second = self.means.new_zeros((K, D, D) if self.triangular else (K, D))
        whiten = self._whitening()
        for part in self._chunks(x.double()):
            y = whiten(part)
            r = responsibilities(y)
            counts += r.sum(0)
            first += (r.T[:, None] @ y.transpose(0, 1))[:, 0]
            y *= r.sqrt()[:, :, None]
            if self.triangular:
                for k in range(K):
                    second[k].addmm_(y[:, k].T, y[:, k])
            else:
                second += y.square().sum(0)
        if not self.triangular:
            return {"counts": counts, "first": first * self.scales, "second": second * self.scales.square()}
        second = self.scales @ second @ self.scales.mT
        if self.covariance_type == "tied":
            second = second.sum(0, keepdim=True)
        return {"counts": counts, "first": (self.scales @ first[:, :, None])[:, :, 0], "second": second}

    def maximize(self, sums: dict[str, Tensor], reg_covar: float) -> None:
        """The M step: means and covariances of maximum likelihood, and `reg_covar` times the variance of each dimension
        over all points added to that dimension's variance.

        So the fit to points in other units is the same one in these units. A dimension that is constant has no unit of
        its own, and takes the mean variance of all. Components that no point belongs to stay as they are.

        Raises:
            ValueError: if a covariance has no inverse, or all points are equal.
        """
        counts, first, second = sums["counts"], sums["first"], sums["second"]
        alive = counts > 10 * torch.finfo(torch.float64).eps
        safe = counts.clamp_min(10 * torch.finfo(torch.float64).eps)
        shift = torch.where(alive[:, None], first / safe[:, None], 0)
        units, constant = self._units(counts, shift, second)
        regularizer = reg_covar * units
        if self.triangular:
            outer = counts[:, None, None] * shift[:, :, None] * shift[:, None, :]
            tied = self.covariance_type == "tied"
            covariances = (second - outer.sum(0)) / counts.sum() if tied else (second - outer) / safe[:, None, None]
            scales, info = torch.linalg.cholesky_ex(covariances + regularizer.diag())
            bad = (info > 0) & (alive if len(info) == len(alive) else True)
            scales = scales if tied else torch.where(alive[:, None, None], scales, self.scales)
        else:
            variances = (second / safe[:, None] - shift.square()).clamp_min(0) + regularizer
            variances = variances.mean(1, keepdim=True) if self.covariance_type == "spherical" else variances
            bad = (variances <= 0).any(1) & alive
            scales = torch.where(alive[:, None], variances.sqrt(), self.scales)
        if bad.any():
            raise ValueError(
                f"model.reg_covar={reg_covar}: the covariance of component {int(bad.int().argmax())} has no inverse;"
                " expected a larger number"
            )
        self.means += shift
        self.scales.copy_(scales)
        self.regularizer.copy_(regularizer)
        self.constant.copy_(constant)

    def _units(self, counts: Tensor, shift: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """The variance of each dimension over all points, of one that is constant the mean of all; and which are
        constant, (D,) each.

        shift: (K, D) from the present means to the new ones; the others as `moments` gives them
        """
        total = counts.sum()
        squares = second.diagonal(dim1=1, dim2=2) if self.triangular else second
        within = (squares.sum(0) - (counts[:, None] * shift.square()).sum(0)).clamp_min(0)
        means = self.means + shift
        mean = (counts[:, None] * means).sum(0) / total
        between = (counts[:, None] * (means - mean).square()).sum(0)
        variances = (within + between) / total
        # What rounding leaves of equal numbers.
        constant = variances.sqrt() <= 8 * torch.finfo(torch.float64).eps * mean.abs()
        variances = torch.where(constant, 0, variances)
        if constant.all():
            raise ValueError("data: all training examples are equal; a density has no scale")
        return torch.where(constant, variances.mean(), variances), constant

    def regularized_dims(self, weights: Tensor) -> float:
        """In how many directions the regularizer makes up more than half of the variance, at most D: the mean over the
        components with their weights (K,).

        The directions are those in which a covariance is the largest or smallest multiple of the regularizer, so they
        don't depend on the units. A regularizer a tenth as large would raise the density of the points that it was
        fitted to by about ½ ln 10 nats for each.
        """
        if not (self.regularizer > 0).all():
            return 0.0
        unit = self.regularizer.sqrt()
        if self.triangular:
            scaled = self.scales / unit[:, None]
            multiples = torch.linalg.eigvalsh(scaled @ scaled.mT)
        elif self.covariance_type == "spherical":
            multiples = (self.scales.square() / self.regularizer.mean()).expand(-1, len(unit))
        else:
            multiples = (self.scales / unit).square()
        decided = (multiples < 2).double().sum(1)
        return (weights * decided).sum().item()

    def sample(self, component: Tensor, *, generator: Generator | None = None) -> Tensor:
        """One draw from each of the given components (n,) int64: (n, D), float64."""
        noise = normal((len(component), self.means.shape[1]), self.means, generator)
        if not self.triangular:
            return self.means[component] + self.scales[component] * noise
        scales = self.scales.expand(len(self.means), -1, -1)
        draws = torch.empty_like(noise)
        # One product for each component: (n, D, D) at once would not fit into memory.
        for k in component.unique():
            chosen = component == k
            draws[chosen] = noise[chosen] @ scales[k].T
        return self.means[component] + draws
