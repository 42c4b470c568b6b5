"""One Gaussian: the density of greatest likelihood with the data's mean and covariance."""

from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from pmodel.distributions.gaussians import Gaussians
from pmodel.models.gaussian_density import GaussianDensity
from pmodel.settings.ranges import Count, Counts, NonNegative
from pmodel.training.streaming import Refit


class Gaussian(GaussianDensity):
    """N(x; μ, Σ), a density of x in R^D, by maximum likelihood.

    One epoch fits it exactly; the second one measures the likelihood of the training examples, and ends training.

    Args:
        covariance_type: `full` or `diagonal`.
        reg_covar: added to each variance, in units of the variance of that dimension over all training examples.
    """

    units: ClassVar[dict[str, str]] = {"nll": "nats", "change": "of the largest scale"}

    def __init__(
        self,
        data_shape: Counts,
        covariance_type: Literal["full", "diagonal"],
        reg_covar: NonNegative,
        init_size: Count,
    ):
        # Of a second fit to the same examples nothing but rounding is left.
        super().__init__(tolerance=1e-9, init_size=init_size)
        self.save_hyperparameters()
        self.data_shape, self.reg_covar = torch.Size(data_shape), reg_covar
        self.gaussians = Gaussians(1, self.data_shape.numel(), covariance_type)

    @property
    def weights(self) -> Tensor:
        """That of the only component."""
        return self.gaussians.means.new_ones(1)

    @property
    def converged(self) -> bool:
        return self.fitted  # the first fit is exact

    @property
    def num_parameters(self) -> int:
        return self.gaussians.num_parameters

    def initialize(self, x: Tensor, generator: Generator) -> None:
        x = x.flatten(1).double()
        self.gaussians.means.copy_(x.mean(0))
        self._fit(self.gaussians.moments(x, x.new_ones(len(x), 1)))

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        return self.gaussians.expectation(x.flatten(1), self.gaussians.means.new_zeros(1))

    def _fit(self, sums: dict[str, Tensor]) -> float:
        """Maximum likelihood; the largest change of a parameter, relative to the scale."""
        before = [self.gaussians.means.clone(), self.gaussians.scales.clone()]
        self.gaussians.maximize(sums, self.reg_covar)
        after = [self.gaussians.means, self.gaussians.scales]
        scale = self.gaussians.scales.abs().max()
        return max(((a - b).abs().max() / scale).item() for a, b in zip(after, before, strict=True))

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        return Refit(self._fit(totals), {"nll": -totals["log_prob"].item() / count})

    def _log_prob(self, x: Tensor) -> Tensor:
        return self.gaussians.log_prob(x.flatten(1))[:, 0]

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, …), float32; images' may leave [0, 1]."""
        component = torch.zeros(n, dtype=torch.int64, device=self.device)
        return self.gaussians.sample(component, generator=generator).float().view(n, *self.data_shape)

    def gaussian_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weight (1,), mean (1, D) and covariance (1, D, D)."""
        return self.weights, self.gaussians.means, self.gaussians.covariances()
