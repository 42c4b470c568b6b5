"""Gaussian mixtures, by expectation maximization (Dempster, Laird & Rubin, 1977)."""

import math
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from pmodel.distributions.gaussians import CovarianceType, Gaussians
from pmodel.models.gaussian_density import GaussianDensity
from pmodel.models.kmeans import choose_centres, lloyd, nearest
from pmodel.settings.ranges import Count, Counts, NonNegative
from pmodel.training.streaming import Refit

Start = Literal["kmeans", "random", "far"]


class MixtureModule(GaussianDensity):
    """A mixture Σ_k π_k N(z; μ_k, Σ_k) of codes z of the examples; one EM step per epoch.

    The mean log-likelihood of the training examples never falls, but for `reg_covar`, and training stops once it rises
    by at most `tolerance` nats per example.

    Args:
        num_components: K.
        covariance_type: `full`, `tied` (one matrix for all), `diagonal` or `spherical`.
        start: `kmeans`: the best of `num_starts` runs on `init_size` examples; `random`: K of those as the means, with
            the covariance of all; `far`: likewise, the example that is farthest from the mean and its nearest ones.
        reg_covar: added to each variance, in units of the variance of that dimension over all training examples.
    """

    def __init__(
        self,
        data_shape: Counts,
        num_components: Count,
        covariance_type: CovarianceType,
        start: Start,
        num_starts: Count,
        reg_covar: NonNegative,
        **common: Any,
    ):
        super().__init__(**common)
        self.data_shape, self.start, self.num_starts = torch.Size(data_shape), start, num_starts
        self.covariance_type, self.reg_covar = covariance_type, reg_covar
        self.register_buffer("weights", torch.full((num_components,), 1 / num_components, dtype=torch.float64))
        # The mean log-likelihood of the previous epoch's parameters, nats.
        self.register_buffer("log_likelihood", torch.tensor(-math.inf, dtype=torch.float64))

    @property
    def num_parameters(self) -> int:
        return self.gaussians.num_parameters + len(self.weights) - 1

    def codes(self, x: Tensor) -> Tensor:
        """z, (B, M)."""
        return x.flatten(1)

    def start_from(self, z: Tensor, generator: Generator, scaled: bool) -> None:
        """Sets a start from codes z (N, M); k-means sees them `scaled` to variance 1."""
        K, gaussians = len(self.weights), self.gaussians
        if len(z) < K:
            raise ValueError(f"model.num_components={K}: expected at most {len(z)}, the examples to start from")
        mean = z.mean(0, dtype=torch.float64)
        z = z - mean
        if self.start != "kmeans":
            gaussians.means.zero_()
            gaussians.maximize(gaussians.moments(z, z.new_full((len(z), K), 1 / K)), self.reg_covar)
            gaussians.means.copy_(mean + choose_centres(z, K, self.start, generator))
            self.weights.fill_(1 / K)
            return
        deviation = torch.linalg.vector_norm(z, dim=0) / len(z) ** 0.5 if scaled else z.new_ones(z.shape[1])
        deviation[deviation == 0] = 1
        z /= deviation
        runs = [lloyd(z, choose_centres(z, K, "k-means++", generator)) for _ in range(self.num_starts)]
        centres = min(runs, key=lambda run: run[1])[0]
        members = torch.nn.functional.one_hot(nearest(z, centres)[:, 0], K).double()
        z *= deviation
        gaussians.means.copy_(centres * deviation)
        gaussians.maximize(gaussians.moments(z, members), self.reg_covar)
        gaussians.means += mean
        self.weights.copy_(members.mean(0))

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        return self.gaussians.expectation(self.codes(x), self.weights.log())

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        log_likelihood = totals["log_prob"] / count
        self.gaussians.maximize(totals, self.reg_covar)
        self.weights.copy_(totals["counts"] / count)
        change = (log_likelihood - self.log_likelihood).abs().item()
        self.log_likelihood.copy_(log_likelihood)
        return Refit(change, {"nll": -log_likelihood.item()})

    def _joint(self, z: Tensor) -> Tensor:
        """log π_k N(z; μ_k, Σ_k), (B, K), float64."""
        return self.gaussians.log_prob(z) + self.weights.log()

    def _log_prob(self, x: Tensor) -> Tensor:
        return self._joint(self.codes(x)).logsumexp(1)

    def sample_codes(self, n: int, generator: Generator | None) -> Tensor:
        """n draws of z, (n, M), float64."""
        device = self.device if generator is None else generator.device
        component = torch.multinomial(self.weights.to(device), n, replacement=True, generator=generator)
        return self.gaussians.sample(component.to(self.device), generator=generator)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, …), float32; images' may leave [0, 1]."""
        return self.sample_codes(n, generator).float().view(n, *self.data_shape)

    def encode(self, x: Tensor) -> Tensor:
        """The responsibilities p(k | x), (B, K)."""
        return self._joint(self.codes(x)).softmax(1).to(x.dtype)

    def assign(self, x: Tensor) -> Tensor:
        """The most responsible component, (B,) int64."""
        return self._joint(self.codes(x)).argmax(1)

    def clusters(self) -> tuple[Tensor, Tensor]:
        """The means as examples (K, …), and the weights (K,)."""
        return self.gaussians.means.view(-1, *self.data_shape), self.weights


class GMM(MixtureModule):
    """p(x) = Σ_k π_k N(x; μ_k, Σ_k), a density of x in R^D."""

    def __init__(self, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.gaussians = Gaussians(len(self.weights), self.data_shape.numel(), self.covariance_type)

    def initialize(self, x: Tensor, generator: Generator) -> None:
        # The columns of points may have different units, which k-means must not compare.
        self.start_from(x.flatten(1), generator, scaled=len(self.data_shape) == 1)

    def gaussian_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (K,), means (K, D) and covariances (K, D, D)."""
        return self.weights, self.gaussians.means, self.gaussians.covariances()
