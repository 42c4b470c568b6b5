"""What models share that give p(x) as a product of conditionals in any order of the sub-pixels."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from pmodel.distributions import LevelLikelihoodName, make_likelihood
from pmodel.models.autoregressive import check_images_on_levels
from pmodel.nets.any_order import AnyOrderSteps
from pmodel.processes.bar import Bar
from pmodel.settings.ranges import Count, Counts, Two
from pmodel.training.gradient import GradientModule

# Numbers that a network gives at once, for log p(x): 2^25 of float32 are 128 MiB.
MAX_NUMBERS = 2**25


class AnyOrderModule(GradientModule):
    """p(x) = 1/K Σ_k Π_i p(x_{o_k(i)} | x_{o_k(1)}, …, x_{o_k(i−1)}), a mixture over K orders o_k of all D sub-pixels.

    Each order gives a distribution of its own, and so does their mean: exact, and at least as probable as the orders
    are on average (Uria, Murray & Larochelle, A Deep and Tractable Density Estimator, 2014, arXiv 1310.1757).

    Args:
        likelihood, num_mixtures: of one sub-pixel given others; see `pmodel.distributions`.

    Raises:
        ValueError: for data that are no images on levels.
    """

    units: ClassVar[dict[str, str]] = {"loss": "nats"}
    # Images drawn at once.
    sample_batch: int = 256
    # K
    num_orders: int

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        likelihood: LevelLikelihoodName,
        num_mixtures: Count,
        **common: Any,
    ):
        super().__init__(**common)
        check_images_on_levels(data_shape, num_levels)
        self.data_shape, self.num_values = torch.Size(data_shape), math.prod(data_shape)
        self.likelihood = make_likelihood(likelihood, num_levels, num_mixtures)

    @abstractmethod
    def log_prob_in_order(self, x: Tensor, k: int) -> Tensor:
        """log p(x) by the k-th order alone, nats, (B,), of values x (B, D)."""

    @abstractmethod
    def steps_in_order(self, batch_size: int, known: Tensor, k: int) -> tuple[AnyOrderSteps, Tensor]:
        """The conditionals value by value, and the order (D,), of places in x.flatten(1), on the CPU, in which images
        are completed whose sub-pixels `known` (D,) are. The k-th is the same in every run."""

    def log_prob_of(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p of each value given its parameters (B, D, p), nats, (B, D)."""
        return self.likelihood.log_prob_per_position(parameters.transpose(1, 2), x.unsqueeze(1))

    def mixture_log_prob(self, x: Tensor, bar: Bar | None = None) -> Tensor:
        """log p(x) of values (B, D), nats, (B,)."""
        each = []
        for k in range(self.num_orders):
            each.append(self.log_prob_in_order(x, k))
            if bar is not None:
                bar.update(len(x))
        return torch.stack(each).logsumexp(0) - math.log(self.num_orders)

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact, nats, (B,)."""
        part_size = max(1, MAX_NUMBERS // (self.num_values * self.likelihood.num_parameters(1)))
        with Bar(len(x) * self.num_orders, "log p(x) in all orders") as bar:
            return torch.cat([self.mixture_log_prob(part, bar) for part in x.flatten(1).split(part_size)])

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n images, each in one of the K orders, drawn with the same probability for all."""
        x = torch.zeros(n, *self.data_shape, device=self.device)
        return self.complete(x, torch.zeros(()).bool(), generator=generator)

    @torch.no_grad()
    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        """x with new values where the boolean mask `known` (like x, or broadcast to it) is False; each image in one of
        the K orders, drawn with the same probability for all, whatever is known."""
        known = known.to(x.device).expand_as(x)
        x = torch.where(known, x, 0)
        device = x.device if generator is None else generator.device
        k = torch.randint(self.num_orders, (len(x),), generator=generator, device=device).to(x.device)
        # What has the same order and the same mask is drawn together.
        rows = torch.cat([k[:, None], known.flatten(1)], dim=1)
        kinds, kind = rows.unique(dim=0, return_inverse=True)
        parts = [part for i in range(len(kinds)) for part in (kind == i).nonzero()[:, 0].split(self.sample_batch)]
        with (
            Bar(len(parts) * self.num_values, "drawing value by value") as bar,
            torch.autocast(x.device.type, enabled=False),
        ):
            for part in parts:
                of_kind = kinds[kind[part[0]]]
                drawn = self._fill(x[part].flatten(1), of_kind[1:].bool(), int(of_kind[0]), generator, bar)
                x[part] = drawn.view(-1, *self.data_shape)
        return x

    def _fill(self, x: Tensor, known: Tensor, k: int, generator: Generator | None, bar: Bar) -> Tensor:
        """Values (B, D), drawn where `known` (D,) is False."""
        steps, order = self.steps_in_order(len(x), known, k)
        is_known = known.tolist()
        for d in order.tolist():
            if not is_known[d]:
                parameters = steps.parameters(d)
                x[:, d] = self.likelihood.sample(parameters, generator=generator)[:, 0].to(x.dtype)
            steps.put(d, 2 * x[:, d] - 1)
            bar.update(1)
        return x
