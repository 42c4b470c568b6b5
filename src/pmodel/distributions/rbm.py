"""The restricted Boltzmann machine: energies, conditionals, and its normalizing constant."""

import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pmodel.distributions.annealing import AnnealingPath, LogConstant, annealed_log_constant
from pmodel.distributions.noise import normal, uniform
from pmodel.nets.batch_share import own_share

VisibleUnits = Literal["binary", "gaussian"]
# Units whose states are all summed over: 2^20 of them.
MOST_ENUMERATED = 20
# States enumerated at once, times the units of the other layer: 2^22 numbers.
MAX_NUMBERS = 2**22


def _not_rounded(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A method that computes in the precision of the weights: energies are sums of hundreds of nats, and their
    differences count, which bfloat16 would round to a nat."""

    @wraps(method)
    def plain(self: nn.Module, x: Tensor, *others: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return method(self, x, *others)

    return plain


class RestrictedBoltzmann(nn.Module):
    """p(v, h) = exp(−E(v, h)) / Z of D visible units v and H binary hidden units h.

    - binary v: E = −b·v − c·h − v W h (Smolensky, 1986; Hinton, Training Products of Experts by Minimizing Contrastive
      Divergence, 2002)
    - Gaussian v: E = ‖v − b‖²/2σ² − c·h − v W h/σ², a density of v in R^D, with one σ for all (Welling et al.,
      Exponential Family Harmoniums, 2004)

    Given one layer, the units of the other are independent.

    Args:
        num_visible, num_hidden: D, H.
    """

    def __init__(self, num_visible: int, num_hidden: int, visible: VisibleUnits):
        super().__init__()
        self.visible = visible
        self.weight = nn.Parameter(0.01 * torch.randn(num_visible, num_hidden))
        self.visible_bias, self.hidden_bias = (
            nn.Parameter(torch.zeros(num_visible)),
            nn.Parameter(torch.zeros(num_hidden)),
        )
        self.log_scale = nn.Parameter(torch.zeros(())) if visible == "gaussian" else None
        # Of the units alone, without W, fitted to the data: where annealing and sampling start from.
        self.register_buffer("base_bias", torch.zeros(num_visible))

    @property
    def variance(self) -> Tensor | float:
        """σ², 1 of binary units."""
        return 1.0 if self.log_scale is None else (2 * self.log_scale).exp()

    def start_from(self, mean: Tensor, variance: Tensor) -> None:
        """Sets biases and σ from the mean and the variance of the data's values, (D,) each."""
        with torch.no_grad():
            if self.log_scale is None:
                # Finite where all are alike.
                mean = mean.clamp(0.005, 0.995)
                self.base_bias.copy_(mean.log() - (-mean).log1p())
            else:
                self.base_bias.copy_(mean)
                self.log_scale.copy_(variance.mean().clamp_min(1e-6).log() / 2)
            self.visible_bias.copy_(self.base_bias)

    @_not_rounded
    def hidden_logits(self, v: Tensor) -> Tensor:
        """log-odds of the hidden units given v (B, D), (B, H)."""
        v = v.to(self.weight.dtype)
        return self.hidden_bias + (v / self.variance) @ self.weight

    @_not_rounded
    def visible_parameters(self, h: Tensor) -> Tensor:
        """log-odds of binary visible units given h (B, H), or the means of Gaussian ones, (B, D)."""
        return self.visible_bias + h.to(self.weight.dtype) @ self.weight.T

    def visible_mean(self, h: Tensor) -> Tensor:
        """E[v | h], (B, D); h may be probabilities."""
        parameters = self.visible_parameters(h)
        return parameters.sigmoid() if self.log_scale is None else parameters

    @_not_rounded
    def _quadratic(self, v: Tensor, bias: Tensor) -> Tensor:
        """What units with biases, and nothing else, add to log f(v), (B,)."""
        v = v.to(self.weight.dtype)
        if self.log_scale is None:
            return v @ bias
        return (v - bias).square().sum(1) / (-2 * self.variance)

    def free_energy(self, v: Tensor) -> Tensor:
        """−log Σ_h exp(−E(v, h)), nats, (B,): −log p(v) but for log Z."""
        return -(self._quadratic(v, self.visible_bias) + F.softplus(self.hidden_logits(v)).sum(1))

    def draw_visible(self, parameters: Tensor, generator: Generator | None, shared: bool = False) -> Tensor:
        """A draw of v with such log-odds or means, (B, D)."""
        if self.log_scale is None:
            return drawn(parameters, generator, shared)
        return parameters + self.variance**0.5 * _noise(normal, parameters, generator, shared)

    def gibbs(self, v: Tensor, num_steps: int, generator: Generator | None = None, shared: bool = False) -> Tensor:
        """v (B, D) after so many steps of block Gibbs sampling: h given v, then v given h.

        shared: whether v are this device's examples of a batch, see `pmodel.nets.batch_share`.
        """
        for _ in range(num_steps):
            h = drawn(self.hidden_logits(v), generator, shared)
            v = self.draw_visible(self.visible_parameters(h), generator, shared)
        return v

    def start(self, n: int, generator: Generator | None = None) -> Tensor:
        """n draws of the visible units without W, (n, D)."""
        return self.draw_visible(self.base_bias.expand(n, -1), generator)

    @property
    def is_small(self) -> bool:
        """Whether all states of a layer can be summed over."""
        D, H = self.weight.shape
        return H <= MOST_ENUMERATED or (self.log_scale is None and D <= MOST_ENUMERATED)

    @torch.no_grad()
    def exact_log_constant(self) -> LogConstant:
        """log Z by all states of the smaller binary layer, in float64."""
        W, b, c = self.weight.double(), self.visible_bias.double(), self.hidden_bias.double()
        if self.log_scale is None and len(b) < len(c):
            W, b, c = W.T, c, b
        total = W.new_tensor(-math.inf)
        for h in all_states(len(c), max(1, MAX_NUMBERS // len(b)), W):
            fed = b + h @ W.T
            if self.log_scale is None:
                rest = F.softplus(fed).sum(1)
            else:
                variance = self.variance.double()
                rest = (fed.square() - b.square()).sum(1) / (2 * variance) + len(b) / 2 * (2 * math.pi * variance).log()
            total = torch.logaddexp(total, (h @ c + rest).logsumexp(0))
        return LogConstant(total.item(), 0.0)

    def annealed_log_constant(
        self, num_chains: int, num_temperatures: int, generator: Generator | None = None
    ) -> LogConstant:
        """An estimate of log Z."""
        return annealed_log_constant(_FromBase(self), num_chains, num_temperatures, generator)


class _FromBase(AnnealingPath):
    """The weights and hidden biases rise from 0, the visible biases go from those of the base to those of the model."""

    def __init__(self, network: RestrictedBoltzmann):
        self._network = network

    def start(self, n: int, generator: Generator | None) -> Tensor:
        return self._network.start(n, generator)

    def log_start(self) -> float:
        network, (D, H) = self._network, self._network.weight.shape
        if network.log_scale is None:
            own = F.softplus(network.base_bias.double()).sum().item()
        else:
            own = D / 2 * math.log(2 * math.pi) + D * network.log_scale.item()
        return own + H * math.log(2)

    def log_f(self, x: Tensor, beta: float) -> Tensor:
        network = self._network
        own = (1 - beta) * network._quadratic(x, network.base_bias)
        return (
            own
            + beta * network._quadratic(x, network.visible_bias)
            + F.softplus(beta * network.hidden_logits(x)).sum(1)
        )

    def step(self, x: Tensor, beta: float, generator: Generator | None) -> Tensor:
        network = self._network
        h = drawn(beta * network.hidden_logits(x), generator)
        parameters = (1 - beta) * network.base_bias + beta * network.visible_parameters(h)
        return network.draw_visible(parameters, generator)


def drawn(logits: Tensor, generator: Generator | None = None, shared: bool = False) -> Tensor:
    """0 or 1 with such log-odds, like them."""
    return (_noise(uniform, logits, generator, shared) < logits.sigmoid()).to(logits)


def _noise(draw: Callable[..., Tensor], like: Tensor, generator: Generator | None, shared: bool) -> Tensor:
    if not shared:
        return draw(tuple(like.shape), like, generator)
    return own_share(lambda n: draw((n, *like.shape[1:]), like, generator), len(like))


def all_states(num_units: int, at_once: int, like: Tensor) -> Iterator[Tensor]:
    """All 2^n states of n binary units, (…, n), in parts."""
    bits = torch.arange(num_units, device=like.device)
    for part in torch.arange(2**num_units, device=like.device).split(at_once):
        yield (part[:, None] >> bits & 1).to(like)
