"""Principal component analysis (Pearson, 1901), and its density (Tipping & Bishop, Probabilistic PCA, 1999)."""

from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from pmodel.distributions.moments import moments, moments_of_levels
from pmodel.distributions.probabilistic_pca import ProbabilisticPCA
from pmodel.settings.ranges import Count, Counts
from pmodel.training.streaming import Refit, StreamingModule

# The covariance of so many dimensions takes half a gigabyte, and its eigenvectors minutes.
MAX_DIMS = 8192


class PCA(StreamingModule):
    """The `num_components` orthogonal directions along which the data vary most.

    The optimal linear code under squared error; as a density, a Gaussian with those variances along the directions
    and the mean of the others' in the rest. One epoch fits it exactly. N examples vary in N − 1 directions at most, and
    in fewer where pixels are constant: with `num_components` beyond these there is no density, and codes are 0 there.

    Args:
        whiten: divides each code by its standard deviation, so that all have variance 1.
    """

    continuous_density = True
    reads_levels = True
    monitor = "val/squared_error_per_pixel"
    units: ClassVar[dict[str, str]] = {
        "squared_error_per_pixel": "per pixel",
        "nll": "nats",
        "explained_variance": "share of the total",
    }
    answer_settings = ("whiten",)

    def __init__(self, data_shape: Counts, num_components: Count, whiten: bool, init_size: Count):
        super().__init__(tolerance=0.0, init_size=init_size)
        self.save_hyperparameters()
        self.data_shape, self.whiten = torch.Size(data_shape), whiten
        self.latent_dim = num_components
        self.axes = make_axes(num_components, self.data_shape.numel())

    @property
    def num_parameters(self) -> int:
        return self.axes.num_parameters

    def initialize(self, x: Tensor, generator: Generator) -> None:
        self.axes.mean.copy_(x.flatten(1).double().mean(0))

    @property
    def no_density(self) -> str | None:
        """Why there is no density; None if there is one."""
        return None if self.axes.has_density else too_many("num_components", self.axes)

    @property
    def ending(self) -> str | None:
        return super().ending or (f"no density: {self.no_density}" if self.no_density else None)

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        if x.dtype == torch.uint8:
            return moments_of_levels(x.flatten(1), self.num_levels, self.axes.mean)
        return moments(x.flatten(1), self.axes.mean)

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        self.axes.fit(totals, count)
        kept, total = self.axes.variances.sum(), self.axes.total_variance
        # Variances divide by N − 1, the mean error of the same examples by N.
        error = (total - kept) * (count - 1) / count / len(self.axes.mean)
        explained = self.axes.explained_variance().sum()
        return Refit(0.0, {"squared_error_per_pixel": error.item(), "explained_variance": explained.item()})

    def terms(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x
        squared_error = (x - self.reconstruct(x)).double().square().flatten(1).mean(1)
        nll = {} if self.no_density else {"nll": -self.log_prob(x)}
        return {"squared_error_per_pixel": squared_error, **nll}

    def encode(self, x: Tensor) -> Tensor:
        """The coordinates along the directions, (B, M), of variance 1 if `whiten`."""
        z = self.axes.encode(x.flatten(1))
        return (z / self.axes.standard_deviations() if self.whiten else z).to(x.dtype)

    def decode(self, z: Tensor) -> Tensor:
        """The point of the subspace with these coordinates, (B, …)."""
        scaled = z.double() * self.axes.standard_deviations() if self.whiten else z
        return self.axes.decode(scaled).to(z.dtype).view(-1, *self.data_shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest point of the subspace, like x."""
        return self.axes.decode(self.axes.encode(x.flatten(1))).to(x.dtype).view_as(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """log density, nats, (B,).

        Raises:
            ValueError: if there is none.
        """
        if self.no_density:
            raise ValueError(self.no_density)
        return self.axes.log_prob(x.flatten(1)).to(x.dtype)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws from the Gaussian, (n, …), float32; images' may leave [0, 1]."""
        return self.axes.sample(n, generator=generator).float().view(n, *self.data_shape)

    def principal_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """The mean (…), the directions (M, …), and each one's share of the total variance (M,)."""
        shape = self.data_shape
        return self.axes.mean.view(shape), self.axes.components.view(-1, *shape), self.axes.explained_variance()

    def components_so_far(self) -> tuple[Tensor, Tensor, Tensor, int] | None:
        """The same of the examples that this process has seen in this epoch, and how many these are; None of fewer
        than two."""
        totals = dict(self.totals)
        count = int(totals.pop("count", 0))
        if count < 2:
            return None
        axes = deepcopy(self.axes)
        axes.fit(totals, count)
        shape = self.data_shape
        return axes.mean.view(shape), axes.components.view(-1, *shape), axes.explained_variance(), count


def too_many(name: str, axes: ProbabilisticPCA) -> str:
    """That a model has more principal directions, a setting of that name, than its training examples vary along."""
    M, D = axes.components.shape
    expected = f"; expected fewer than {axes.rank}, for a density" if axes.rank > 1 else ""
    return f"model.{name}={M}: the training examples vary in {axes.rank} of {D} directions{expected}"


def make_axes(num_components: int, num_dims: int, name: str = "num_components") -> ProbabilisticPCA:
    """Axes that are still to be fitted.

    Raises:
        ValueError: if there are more components than dimensions, or too many of these.
    """
    if not 1 <= num_components <= num_dims:
        raise ValueError(f"model.{name}={num_components}: expected 1 to {num_dims}, the dimensions of the data")
    if num_dims > MAX_DIMS:
        raise ValueError(f"data.shape: {num_dims} dimensions are too many for a covariance matrix, expected {MAX_DIMS}")
    return ProbabilisticPCA(num_components, num_dims)
