"""K multivariate Gaussians side by side: densities, draws, and maximum likelihood from weighted moments."""

import math
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions.noise import normal

CovarianceType = Literal["full", "tied", "diagonal", "spherical"]
# Numbers of (x − μ_k) held at once: 2^20 of float64 are 8 MiB, which stays in a core's cache.
CHUNK = 2**20


class Gaussians(nn.Module):
    """N(x; μ_k, Σ_k) for k = 1 … K over D dimensions; all in float64.

    covariance_type: `full`: any Σ_k; `tied`: one Σ for all; `diagonal`; `spherical`: Σ_k = σ_k² I.

    Buffers: means (K, D); scales, the square root of Σ: lower triangular (K, D, D), for tied (1, D, D), for diagonal
    standard deviations (K, D), for spherical (K, 1).
    """

    def __init__(self, num_components: int, num_dims: int, covariance_type: CovarianceType):
        super().__init__()
        assert covariance_type in ("full", "tied", "diagonal", "spherical")
        self.covariance_type = covariance_type
        K, D = num_components, num_dims
        shape = {"full": (K, D, D), "tied": (1, D, D), "diagonal": (K, D), "spherical": (K, 1)}[covariance_type]
        identity = torch.eye(D, dtype=torch.float64) if self.triangular else torch.ones((), dtype=torch.float64)
        self.register_buffer("means", torch.zeros(K, D, dtype=torch.float64))
        self.register_buffer("scales", identity.expand(shape).clone())

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
        return torch.cat([self._log_prob(self._centred(part)) for part in self._chunks(x.double())])

    def _chunks(self, x: Tensor) -> tuple[Tensor, ...]:
        K, D = self.means.shape
        # With fewer rows than columns, adding up the (K, D, D) second moments would cost more than computing them.
        return x.split(max(1, CHUNK // (K * D), D if self.triangular else 1))

    def _centred(self, x: Tensor) -> Tensor:
        """x − μ_k, (K, B, D)."""
        return x - self.means[:, None]

    def _log_prob(self, centred: Tensor) -> Tensor:
        K, _B, D = centred.shape
        if self.triangular:
            scales = self.scales.expand(K, D, D)
            squared = torch.linalg.solve_triangular(scales, centred.mT, upper=False).square().sum(1)
            log_det = self.scales.diagonal(dim1=1, dim2=2).log().sum(1)
        else:
            squared = (centred / self.scales[:, None]).square().sum(2)
            log_det = self.scales.log().expand(K, D).sum(1)
        return -0.5 * squared.T - log_det - 0.5 * D * math.log(2 * math.pi)

    def expectation(self, x: Tensor, log_weights: Tensor) -> dict[str, Tensor]:
        """The E step on points x (B, D) with log mixture weights (K,): the sums that `maximize` needs.

        With responsibilities r_nk = w_k N(x_n; μ_k, Σ_k) / p(x_n): `log_prob` Σ log p(x_n) (nats), `counts` Σ r_nk
        (K,), and the moments of `moments`.
        """
        totals: dict[str, Tensor] = {}
        for part in self._chunks(x.double()):
            centred = self._centred(part)
            joint = self._log_prob(centred) + log_weights
            log_prob = joint.logsumexp(1)
            sums = self._moments(centred, (joint - log_prob[:, None]).exp())
            sums["log_prob"] = log_prob.sum()
            totals = {name: totals[name] + value for name, value in sums.items()} if totals else sums
        return totals

    def moments(self, x: Tensor, responsibilities: Tensor) -> dict[str, Tensor]:
        """Sums over points x (B, D) weighted by r (B, K), about the present means: sums about zero would lose digits.

        `counts` Σ r_nk (K,), `first` Σ r_nk (x_n − μ_k) (K, D), `second` Σ r_nk (x_n − μ_k)(x_n − μ_k)ᵀ: (K, D, D),
        tied: summed over k (1, D, D), diagonal and spherical: its diagonal (K, D).
        """
        totals: dict[str, Tensor] = {}
        x = x.double()
        size = len(self._chunks(x)[0])
        for part, weights in zip(x.split(size), responsibilities.double().split(size), strict=True):
            sums = self._moments(self._centred(part), weights)
            totals = {name: totals[name] + value for name, value in sums.items()} if totals else sums
        return totals

    def _moments(self, centred: Tensor, responsibilities: Tensor) -> dict[str, Tensor]:
        r = responsibilities.T
        weighted = centred * r[:, :, None]
        if self.triangular:
            second = weighted.mT @ centred
            second = second.sum(0, keepdim=True) if self.covariance_type == "tied" else second
        else:
            second = (weighted * centred).sum(1)
        return {"counts": r.sum(1), "first": weighted.sum(1), "second": second}

    def maximize(self, sums: dict[str, Tensor], reg_covar: float) -> None:
        """The M step: means and covariances of maximum likelihood, with `reg_covar` added to each variance.

        Components that no point belongs to stay as they are.

        Raises:
            ValueError: if a covariance has no inverse.
        """
        counts, first, second = sums["counts"], sums["first"], sums["second"]
        alive = counts > 10 * torch.finfo(torch.float64).eps
        safe = counts.clamp_min(10 * torch.finfo(torch.float64).eps)
        shift = torch.where(alive[:, None], first / safe[:, None], 0)
        if self.triangular:
            outer = counts[:, None, None] * shift[:, :, None] * shift[:, None, :]
            tied = self.covariance_type == "tied"
            covariances = (second - outer.sum(0)) / counts.sum() if tied else (second - outer) / safe[:, None, None]
            covariances = covariances + reg_covar * torch.eye(len(shift[0]), dtype=torch.float64, device=shift.device)
            scales, info = torch.linalg.cholesky_ex(covariances)
            bad = (info > 0) & (alive if len(info) == len(alive) else True)
            scales = scales if tied else torch.where(alive[:, None, None], scales, self.scales)
        else:
            variances = second / safe[:, None] - shift.square() + reg_covar
            variances = variances.mean(1, keepdim=True) if self.covariance_type == "spherical" else variances
            bad = (variances <= 0).any(1) & alive
            scales = torch.where(alive[:, None], variances.clamp_min(0).sqrt(), self.scales)
        if bad.any():
            raise ValueError(
                f"model.reg_covar={reg_covar}: the covariance of component {int(bad.int().argmax())} has no inverse;"
                " expected a larger number"
            )
        self.means += shift
        self.scales.copy_(scales)

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
