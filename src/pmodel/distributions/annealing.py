"""Annealed importance sampling: estimates of normalizing constants, with their errors."""

import itertools
import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Generator, Tensor


class LogConstant(NamedTuple):
    """A normalizing constant: log Z, nats, and its standard error, nats; 0: it is exact."""

    value: float
    error: float


class AnnealingPath(ABC):
    """Unnormalized distributions f_β, from one that can be drawn from, at β = 0, to that of the model, at β = 1."""

    @abstractmethod
    def start(self, n: int, generator: Generator | None) -> Tensor:
        """n draws of f_0, (n, D)."""

    @abstractmethod
    def log_start(self) -> float:
        """log Z of f_0."""

    @abstractmethod
    def log_f(self, x: Tensor, beta: float) -> Tensor:
        """log f_β(x), nats, (n,)."""

    @abstractmethod
    def step(self, x: Tensor, beta: float, generator: Generator | None) -> Tensor:
        """One step of a Markov chain that leaves f_β unchanged, (n, D)."""


@torch.no_grad()
def annealed_log_constant(
    path: AnnealingPath, num_chains: int, num_temperatures: int, generator: Generator | None = None
) -> LogConstant:
    """log Z of f_1 (Neal, Annealed Importance Sampling, 2001; Salakhutdinov & Murray, On the Quantitative Analysis of
    Deep Belief Networks, 2008).

    Of M chains each has a weight w = Π_t f_{β_{t+1}}(x_t) / f_{β_t}(x_t). The mean of w is an unbiased estimate of
    Z / Z_0, so that of log Z is too low on average, by as much as chains disagree. The error is that of the mean of w,
    s / (w̄ √M): where a few chains outweigh all others, it is too small itself.

    Args:
        num_temperatures: T; β rises from 0 to 1 in T steps of the same size.
    """
    betas = torch.linspace(0, 1, num_temperatures + 1, dtype=torch.float64).tolist()
    x = path.start(num_chains, generator)
    log_w = torch.zeros(num_chains, dtype=torch.float64, device=x.device)
    for below, beta in itertools.pairwise(betas):
        log_w += path.log_f(x, beta).double() - path.log_f(x, below).double()
        if beta < 1:
            x = path.step(x, beta, generator)
    log_mean = (log_w.logsumexp(0) - math.log(num_chains)).item()
    ratios = (log_w - log_mean).exp()
    error = ratios.std().item() / num_chains**0.5 if num_chains > 1 else math.inf
    return LogConstant(path.log_start() + log_mean, error)
