"""Mixtures of Bernoullis, by expectation maximization (Dempster, Laird & Rubin, 1977)."""

import math
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from pmodel.settings.ranges import Count, Counts, Positive, Two
from pmodel.training.streaming import Refit, StreamingModule

# The least probability of a pixel: far above what float64 tells from 0 beside 1.
TINY = 1e-12


class BernoulliMixture(StreamingModule):
    """p(x) = Σ_k π_k Π_d μ_kd^x_d (1 − μ_kd)^(1 − x_d), the probability of a binary image (Bishop, Pattern Recognition
    and Machine Learning, 2006, section 9.3.3); one EM step per epoch.

    Each component has `pseudo_count` examples more than the data give it, each of which is the mean m of all training
    examples: μ_kd = (Σ_n r_nk x_nd + c m_d) / (Σ_n r_nk + c). So no μ is 0 or 1, which would make images impossible,
    and a component of few examples is smooth. That is the mode under the prior Beta(1 + c m_d, 1 + c (1 − m_d)) of each
    μ_kd, and what never falls is therefore the penalized mean log-likelihood, `penalized_nll` with a minus:

    1/N Σ_n log p(x_n) + c/N Σ_kd (m_d log μ_kd + (1 − m_d) log(1 − μ_kd))

    Training stops once it rises by at most `tolerance` nats per example.

    Args:
        num_components: K. Each starts halfway between a random example of `init_size` and their mean.
        pseudo_count: c.
    """

    reads_levels = True
    monitor = "val/nll"
    units: ClassVar[dict[str, str]] = {"nll": "nats", "penalized_nll": "nats", "change": "nats"}

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        num_components: Count,
        pseudo_count: Positive,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        if num_levels != 2:
            shown = "null" if num_levels is None else num_levels
            raise ValueError(
                f"data.num_levels={shown}: expected 2, binary images; data.binarize=dynamic or data.binarize=threshold"
                " makes them so"
            )
        self.data_shape, self.num_levels, self.pseudo_count = torch.Size(data_shape), num_levels, pseudo_count
        K, D = num_components, self.data_shape.numel()
        self.register_buffer("weights", torch.full((K,), 1 / K, dtype=torch.float64))
        self.register_buffer("means", torch.full((K, D), 0.5, dtype=torch.float64))
        # The penalized mean log-likelihood of the previous epoch's parameters, nats.
        self.register_buffer("objective", torch.tensor(-math.inf, dtype=torch.float64))

    @property
    def num_parameters(self) -> int:
        return self.means.numel() + len(self.weights) - 1

    def numbers_held(self, num_dims: int) -> int:
        return max(num_dims, len(self.weights))

    def initialize(self, x: Tensor, generator: Generator) -> None:
        x, K = x.flatten(1).double(), len(self.weights)
        if len(x) < K:
            raise ValueError(f"model.num_components={K}: expected at most {len(x)}, the examples to start from")
        chosen = x[torch.randperm(len(x), generator=generator)[:K].to(x.device)]
        self.means.copy_((chosen + _smoothed(x.sum(0), len(x))) / 2)

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        # Levels are 0 and 1, as intensities are.
        x = x.flatten(1).double()
        joint = self._joint(x)
        log_prob = joint.logsumexp(1)
        responsibilities = joint.sub_(log_prob[:, None]).exp_()
        return {"counts": responsibilities.sum(0), "sums": responsibilities.T @ x, "log_prob": log_prob.sum()}

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        counts, sums, c = totals["counts"], totals["sums"], self.pseudo_count
        mean = _smoothed(sums.sum(0), count)
        penalty = (mean * self.means.log() + (1 - mean) * (-self.means).log1p()).sum()
        log_likelihood = totals["log_prob"] / count
        objective = log_likelihood + c * penalty / count
        # Of a small c, rounding leaves nothing beside the sums of many examples.
        self.means.copy_(((sums + c * mean) / (counts + c)[:, None]).clamp_(TINY, 1 - TINY))
        self.weights.copy_(counts / count)
        change = (objective - self.objective).abs().item()
        self.objective.copy_(objective)
        return Refit(change, {"nll": -log_likelihood.item(), "penalized_nll": -objective.item()})

    def _joint(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """log π_k p(x | k) of x (B, D), float64, or of those of its pixels where the mask `known` (B, D) is True;
        (B, K)."""
        off = (-self.means).log1p()
        logits = self.means.log() - off
        if known is None:
            return torch.addmm(self.weights.log() + off.sum(1), x, logits.T)
        return torch.addmm(self.weights.log(), x.where(known, 0), logits.T).addmm_(known.double(), off.T)

    def _joint_of(self, x: Tensor) -> Tensor:
        return self._joint(x.flatten(1).double())

    def terms(self, batch: Any) -> dict[str, Tensor]:
        return {"nll": -self._joint_of(batch.x).logsumexp(1)}

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact, nats, (B,)."""
        return self._joint_of(x).logsumexp(1).to(x.dtype)

    def encode(self, x: Tensor) -> Tensor:
        """The responsibilities p(k | x), (B, K)."""
        return self._joint_of(x).softmax(1).to(x.dtype)

    def assign(self, x: Tensor) -> Tensor:
        """The most responsible component, (B,) int64."""
        return self._joint_of(x).argmax(1)

    def clusters(self) -> tuple[Tensor, Tensor]:
        """The means μ_k as images (K, C, H, W), and the weights π (K,)."""
        return self.means.view(-1, *self.data_shape), self.weights

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, C, H, W), float32: a component each, then its pixels."""
        return self._draw(self.weights.expand(n, -1), generator).view(n, *self.data_shape)

    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        """x with exact draws from p(hidden pixels | known ones) where the mask `known` is False: of a component, by its
        responsibility for the known ones, then of its pixels."""
        known = known.to(x.device).expand(x.shape)
        posterior = self._joint(x.flatten(1).double(), known.flatten(1)).softmax(1)
        return torch.where(known, x, self._draw(posterior, generator).view_as(x).to(x.dtype))

    def _draw(self, probabilities: Tensor, generator: Generator | None) -> Tensor:
        """Pixels (n, D), float32, of components drawn with probabilities (n, K), or in proportion to them."""
        device = self.device if generator is None else generator.device
        component = torch.multinomial(probabilities.to(device), 1, generator=generator)[:, 0].to(self.device)
        means = self.means[component]
        noise = torch.rand(means.shape, generator=generator, dtype=torch.float64, device=device).to(self.device)
        return (noise < means).float()


def _smoothed(sums: Tensor, count: int) -> Tensor:
    """The mean of `count` examples from their sums (D,), with half a pixel of each kind more: neither 0 nor 1, also
    where all examples are the same."""
    return (sums + 0.5) / (count + 1)
