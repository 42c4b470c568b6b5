"""Kernel density estimation (Parzen, On Estimation of a Probability Density Function and Mode, 1962)."""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from pmodel.distributions.noise import normal
from pmodel.settings.ranges import Count, Counts, Positive, Two
from pmodel.training.streaming import Refit, StreamingModule

Bandwidth = Positive | Literal["scott", "silverman", "held_out"]
# Kernel values held at once: 2^22 of float64 are 32 MiB.
CHUNK = 2**22
# Points whose density is computed at once.
BLOCK = 10_000


class KDE(StreamingModule):
    """p(x) = 1/N Σ_n Π_j N(x_j; x_nj, h_j²): a Gaussian kernel around each training example, a density of x in R^D.

    h_j = h · s_j, where s_j is the standard deviation of dimension j (`diagonal`) or, the same for all, the root of the
    mean variance (`isotropic`, which images with constant pixels need). The rules (Scott, Multivariate Density
    Estimation, 1992) take the data for one Gaussian, so they blur what has several modes:

    - `scott`: h = N^(−1/(D + 4))
    - `silverman`: h = (N (D + 2) / 4)^(−1/(D + 4))
    - `held_out`: the h of greatest likelihood of `num_held_out` random training examples under all others
    - a number: h_j in the unit of the data, whatever the kernel

    All training examples are kept, as bytes where they lie on levels.
    """

    continuous_density = True
    monitor = "val/nll"
    units: ClassVar[dict[str, str]] = {
        "nll": "nats",
        "bandwidth": "mean over the dimensions",
    }

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        bandwidth: Bandwidth,
        kernel: Literal["diagonal", "isotropic"],
        num_held_out: Count,
        init_size: Count,
    ):
        super().__init__(tolerance=0.0, init_size=init_size)
        self.save_hyperparameters()
        self.data_shape, self.num_levels = torch.Size(data_shape), num_levels
        self.bandwidth, self.kernel, self.num_held_out = bandwidth, kernel, num_held_out
        D = self.data_shape.numel()
        packed = num_levels is not None and num_levels <= 256
        self.register_buffer("origin", torch.zeros(D, dtype=torch.float64))
        self.register_buffer("bandwidths", torch.ones(D, dtype=torch.float64))
        self.register_buffer("examples", torch.zeros(0, D, dtype=torch.uint8 if packed else torch.float32))
        self.register_load_state_dict_pre_hook(_make_room)

    @property
    def num_parameters(self) -> int:
        """The bandwidths; the examples are kept, not chosen."""
        return len(self.bandwidths) if self.kernel == "diagonal" else 1

    def initialize(self, x: Tensor, generator: Generator) -> None:
        self.origin.copy_(x.flatten(1).double().mean(0))

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        x = x.flatten(1).double() - self.origin
        return {"first": x.sum(0), "second": x.square().sum(0)}

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        # In the order of the data module, which no batch size and no device changes.
        x = self.data.examples("train", count).x.to(self.device).flatten(1)
        self.examples = (x * (self.num_levels - 1)).round().byte() if self.examples.dtype == torch.uint8 else x
        scale = None if isinstance(self.bandwidth, int | float) else self._scale(**totals, count=count)
        D = len(self.origin)
        if scale is None:
            self.bandwidths.fill_(float(self.bandwidth))
        elif self.bandwidth == "scott":
            self.bandwidths.copy_(count ** (-1 / (D + 4)) * scale)
        elif self.bandwidth == "silverman":
            self.bandwidths.copy_((count * (D + 2) / 4) ** (-1 / (D + 4)) * scale)
        else:
            self.bandwidths.copy_(self._best_on_held_out(scale) * scale)
        train = {"bandwidth": self.bandwidths.mean().item()}
        if count > 1:
            train["nll"] = -self._held_out_log_prob(self.bandwidths, self.bandwidths.new_ones(1)).item()
        return Refit(0.0, train)

    def _scale(self, first: Tensor, second: Tensor, count: int) -> Tensor:
        """The standard deviation of each dimension, or for an isotropic kernel the root of their mean square, (D,)."""
        variance = (second - first.square() / count).clamp_min(0) / max(count - 1, 1)
        scale = variance.sqrt() if self.kernel == "diagonal" else variance.mean().sqrt().expand_as(variance)
        if not (scale > 0).all():
            raise ValueError(
                f"model.kernel={self.kernel}: dimension {int((scale == 0).int().argmax())} is constant, so it has no"
                " scale; expected isotropic, or a number for model.bandwidth"
            )
        return scale

    def _best_on_held_out(self, scale: Tensor) -> float:
        """The best h on a grid over four decades, then on a finer one."""
        if len(self.examples) < 2:
            raise ValueError("model.bandwidth=held_out: expected at least 2 training examples")
        grid = torch.logspace(-3, 1, 17, dtype=torch.float64, device=self.device)
        best = grid[self._held_out_log_prob(scale, grid).argmax()]
        fine = best * torch.logspace(-0.25, 0.25, 11, dtype=torch.float64, device=self.device)
        return fine[self._held_out_log_prob(scale, fine).argmax()].item()

    @torch.no_grad()
    def held_out_log_prob(self, ratios: Tensor) -> Tensor:
        """The same mean as that of the fit, nats, (F,), with bandwidths `ratios` (F,) times those that were chosen."""
        return self._held_out_log_prob(self.bandwidths, ratios)

    def _held_out_log_prob(self, scale: Tensor, factors: Tensor) -> Tensor:
        """The mean of log p(x) of `num_held_out` random training examples, but no more than half of all, under all
        others, with bandwidths h · scale, for each h of `factors`, (F,)."""
        order = torch.randperm(len(self.examples), generator=self.start_generator()).to(self.device)
        num_held_out = min(self.num_held_out, len(order) // 2)
        x, others = self._points(order[:num_held_out]), order[num_held_out:]
        return self._log_density(x, others, scale, factors).mean(1)

    def _points(self, index: Tensor | slice) -> Tensor:
        """Kept examples about the origin, float64."""
        x = self.examples[index].double()
        return (x / (self.num_levels - 1) if self.examples.dtype == torch.uint8 else x) - self.origin

    def _log_density(self, x: Tensor, chosen: Tensor | None, scale: Tensor, factors: Tensor) -> Tensor:
        """log p(x) of points about the origin (B, D) under the chosen examples, None: all, with bandwidths h · scale,
        for each h of `factors` (F,): nats, (F, B)."""
        scaled, D = x / scale, len(scale)
        squares = scaled.square().sum(1, keepdim=True)
        count = len(self.examples) if chosen is None else len(chosen)
        size = max(1, CHUNK // max(len(x), D))
        total = scaled.new_full((len(factors), len(x)), -math.inf)
        for start in range(0, count, size):
            index = slice(start, start + size) if chosen is None else chosen[start : start + size]
            kept = self._points(index) / scale
            distance = torch.addmm(kept.square().sum(1), scaled, kept.T, alpha=-2).add_(squares).clamp_min_(0)
            sums = torch.stack([(distance * (-0.5 / h.square())).logsumexp(1) for h in factors])
            total = torch.logaddexp(total, sums)
        # Without examples, before training, the density is 0.
        log_norm = math.log(max(count, 1)) + scale.log().sum() + D * factors.log() + 0.5 * D * math.log(2 * math.pi)
        return total - log_norm[:, None]

    def terms(self, batch: Any) -> dict[str, Tensor]:
        return {"nll": -self._log_prob(batch.x)}

    def _log_prob(self, x: Tensor) -> Tensor:
        flat = x.flatten(1).double() - self.origin
        one = self.bandwidths.new_ones(1)
        return torch.cat([self._log_density(part, None, self.bandwidths, one)[0] for part in flat.split(BLOCK)])

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """log density, nats, (B,), in bounded memory."""
        return self._log_prob(x).to(x.dtype)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, …), float32: a training example each, with the kernel's noise."""
        device = self.device if generator is None else generator.device
        index = torch.randint(len(self.examples), (n,), generator=generator, device=device).to(self.device)
        x = self._points(index) + self.origin + self.bandwidths * normal((n, len(self.origin)), self.origin, generator)
        return x.float().view(n, *self.data_shape)


def _make_room(model: KDE, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Gives the model as many examples as it is about to load: before training there are none."""
    stored = state_dict.get(f"{prefix}examples")
    if stored is not None:
        model.examples = torch.empty_like(stored, device=model.examples.device)
