"""A Gaussian mixture on principal components: an exact density of pictures whose covariances stay small."""

import math
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from pmodel.distributions.gaussians import CovarianceType, Gaussians
from pmodel.models.gaussian_density import GaussianDensity
from pmodel.models.gmm import Start, draw, start_mixture
from pmodel.models.kmeans import warn_of_few_points
from pmodel.models.pca import make_axes, too_many
from pmodel.settings.ranges import Count, Counts, NonNegative
from pmodel.training.streaming import Refit


class PCAGMM(GaussianDensity):
    """p(x) = Σ_k π_k N(z; μ_k, Σ_k) · N(r; 0, σ² I): z = Uᵀ(x − m) along M principal directions, r in the D − M others.

    U being orthonormal, that is a normalized density of x in R^D: probabilistic PCA (Tipping & Bishop, 1999) with a
    mixture in place of its Gaussian. The first epoch fits m, U and σ², each later one is an EM step on z.

    Args:
        data_shape: of one example, (C, H, W) or (D,).
        num_dims: M, the principal directions.
        num_components: K, the Gaussians.
        covariance_type, start, num_starts, reg_covar, init_size, tolerance: of the mixture; see `GMM`.

    Raises:
        ValueError: before the first epoch or at its end, if the training examples vary in no more than `num_dims`
            directions.
    """

    units: ClassVar[dict[str, str]] = {
        "nll": "nats",
        "squared_error_per_pixel": "per pixel",
        "explained_variance": "share of the total",
        "change": "nats",
    }

    def __init__(
        self,
        data_shape: Counts,
        num_dims: Count,
        num_components: Count,
        covariance_type: CovarianceType,
        start: Start,
        num_starts: Count,
        reg_covar: NonNegative,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        self.data_shape, self.start, self.num_starts = torch.Size(data_shape), start, num_starts
        self.reg_covar = reg_covar
        self.axes = make_axes(num_dims, self.data_shape.numel(), name="num_dims")
        self.gaussians = Gaussians(num_components, num_dims, covariance_type)
        self.register_buffer("weights", torch.full((num_components,), 1 / num_components, dtype=torch.float64))
        self.register_buffer("has_axes", torch.tensor(False))
        self.register_buffer("log_likelihood", torch.tensor(-math.inf, dtype=torch.float64))

    @property
    def num_parameters(self) -> int:
        return self.axes.num_parameters + self.gaussians.num_parameters + len(self.weights) - 1

    def initialize(self, x: Tensor, generator: Generator) -> None:
        (M, D), N = self.axes.components.shape, self.trainer.datamodule.split_sizes["train"]
        # One direction is left for σ², unless there is none.
        if N - (M < D) <= M:
            raise ValueError(
                f"model.num_dims={M}: {N} training examples vary in at most {N - 1} of {D} directions;"
                f" expected fewer than {N - 1}, for a density"
            )
        if self.place[0] == 0:
            warn_of_few_points(x.flatten(1), len(self.weights), "num_components")
        self.axes.mean.copy_(x.flatten(1).double().mean(0))

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        x = x.flatten(1)
        if not self.has_axes:
            return self.axes.moments(x)
        z = self.axes.encode(x)
        return {
            **self.gaussians.expectation(z, self.weights.log()),
            "outside": self.axes.log_prob_outside(x, z).sum(),
        }

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        if not self.has_axes:
            return self._refit_axes(totals, count)
        log_likelihood = (totals["log_prob"] + totals["outside"]) / count
        self.gaussians.maximize(totals, self.reg_covar)
        self.weights.copy_(totals["counts"] / count)
        change = (log_likelihood - self.log_likelihood).abs().item()
        self.log_likelihood.copy_(log_likelihood)
        return Refit(change, {"nll": -log_likelihood.item(), "explained_variance": self._explained_variance()})

    def _refit_axes(self, totals: dict[str, Tensor], count: int) -> Refit:
        self.axes.fit(totals, count)
        if not self.axes.has_density:
            raise ValueError(too_many("num_dims", self.axes))
        self.has_axes.fill_(True)
        z = self.axes.encode(self.start_examples().flatten(1))
        start_mixture(
            self.gaussians, self.weights, z, self.start, self.num_starts, self.reg_covar, self.start_generator()
        )
        return Refit(math.inf, {"explained_variance": self._explained_variance()})

    def _explained_variance(self) -> float:
        return self.axes.explained_variance().sum().item()

    def terms(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x
        squared_error = (x - self.reconstruct(x)).double().square().flatten(1).mean(1)
        return {"nll": -self._log_prob(x), "squared_error_per_pixel": squared_error}

    def _joint(self, z: Tensor) -> Tensor:
        """log π_k N(z; μ_k, Σ_k), (B, K), float64."""
        return self.gaussians.log_prob(z) + self.weights.log()

    def _log_prob(self, x: Tensor) -> Tensor:
        z = self.axes.encode(x.flatten(1))
        return self._joint(z).logsumexp(1) + self.axes.log_prob_outside(x.flatten(1), z)

    def log_prob(self, x: Tensor) -> Tensor:
        """log density of x, not only of its components, nats, (B,)."""
        return self._log_prob(x).to(x.dtype)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, …), float32; pictures' may leave [0, 1]."""
        z = self.gaussians.sample(draw(self.weights, n, generator), generator=generator)
        x = self.axes.decode(z) + self.axes.sample_outside(n, generator)
        return x.float().view(n, *self.data_shape)

    def encode(self, x: Tensor) -> Tensor:
        """The responsibilities p(k | x), (B, K)."""
        return self._joint(self.axes.encode(x.flatten(1))).softmax(1).to(x.dtype)

    def assign(self, x: Tensor) -> Tensor:
        """The most responsible component, (B,) int64."""
        return self._joint(self.axes.encode(x.flatten(1))).argmax(1)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest point of the subspace, like x."""
        return self.axes.decode(self.axes.encode(x.flatten(1))).to(x.dtype).view_as(x)

    def clusters(self) -> tuple[Tensor, Tensor]:
        """The means as examples (K, …), and the weights (K,)."""
        return self.axes.decode(self.gaussians.means).view(-1, *self.data_shape), self.weights

    def principal_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """The mean (…), the directions (M, …), and each one's share of the total variance (M,)."""
        shape = self.data_shape
        return self.axes.mean.view(shape), self.axes.components.view(-1, *shape), self.axes.explained_variance()
