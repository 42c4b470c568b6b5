"""A Gaussian mixture on principal components: an exact density of images whose covariances stay small."""

import math
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from pmodel.distributions.gaussians import Gaussians
from pmodel.distributions.moments import moments
from pmodel.models.gmm import MixtureModule
from pmodel.models.pca import make_axes, too_many
from pmodel.settings.ranges import Count
from pmodel.training.streaming import Refit


class PCAGMM(MixtureModule):
    """p(x) = Σ_k π_k N(z; μ_k, Σ_k) · N(r; 0, σ² I): z = Uᵀ(x − m) along M principal directions, r in the D − M others.

    U being orthonormal, that is a normalized density of x in R^D: probabilistic PCA (Tipping & Bishop, 1999) with a
    mixture in place of its Gaussian. The first epoch fits m, U and σ², each later one is an EM step on z.

    Args:
        num_dims: M, the principal directions.

    Raises:
        ValueError: before the first epoch or at its end, if the training examples vary in no more than `num_dims`
            directions.
    """

    units: ClassVar[dict[str, str]] = {
        **MixtureModule.units,
        "squared_error_per_pixel": "per pixel",
        "explained_variance": "share of the total",
    }

    def __init__(self, num_dims: Count, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.axes = make_axes(num_dims, self.data_shape.numel(), name="num_dims")
        self.gaussians = Gaussians(len(self.weights), num_dims, self.covariance_type)
        self.register_buffer("has_axes", torch.tensor(False))

    @property
    def num_parameters(self) -> int:
        return self.axes.num_parameters + super().num_parameters

    def codes(self, x: Tensor) -> Tensor:
        return self.axes.encode(x.flatten(1))

    def initialize(self, x: Tensor, generator: Generator) -> None:
        (M, D), N = self.axes.components.shape, self.data.split_sizes.get("train", math.inf)
        # One direction is left for σ², unless there is none.
        if N - (M < D) <= M:
            raise ValueError(
                f"model.num_dims={M}: {N} training examples vary in at most {N - 1} of {D} directions;"
                f" expected fewer than {N - 1}, for a density"
            )
        self.axes.mean.copy_(x.flatten(1).double().mean(0))

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        x = x.flatten(1)
        if not self.has_axes:
            return moments(x, self.axes.mean)
        z = self.codes(x)
        sums = self.gaussians.expectation(z, self.weights.log())
        return {**sums, "log_prob": sums["log_prob"] + self.axes.log_prob_outside(x, z).sum()}

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        if self.has_axes:
            change, train = super().refit(totals, count)
        else:
            change, train = math.inf, {}
            self.axes.fit(totals, count)
            if not self.axes.has_density:
                raise ValueError(too_many("num_dims", self.axes))
            self.has_axes.fill_(True)
            self.start_from(self.codes(self.start_examples()), self.start_generator(), scaled=False)
        return Refit(change, {**train, "explained_variance": self.axes.explained_variance().sum().item()})

    def terms(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x
        squared_error = (x - self.reconstruct(x)).double().square().flatten(1).mean(1)
        return {**super().terms(batch), "squared_error_per_pixel": squared_error}

    def _log_prob(self, x: Tensor) -> Tensor:
        z = self.codes(x)
        return self._joint(z).logsumexp(1) + self.axes.log_prob_outside(x.flatten(1), z)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, …), float32; those of images may leave [0, 1]."""
        x = self.axes.decode(self.sample_codes(n, generator)) + self.axes.sample_outside(n, generator)
        return x.float().view(n, *self.data_shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest point of the subspace, like x."""
        return self.axes.decode(self.codes(x)).to(x.dtype).view_as(x)

    def clusters(self) -> tuple[Tensor, Tensor]:
        """The means as examples (K, …), and the weights (K,)."""
        return self.axes.decode(self.gaussians.means).view(-1, *self.data_shape), self.weights

    def principal_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """The mean (…), the directions (M, …), and each one's share of the total variance (M,)."""
        shape = self.data_shape
        return self.axes.mean.view(shape), self.axes.components.view(-1, *shape), self.axes.explained_variance()
