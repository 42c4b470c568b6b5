"""What models with latent variables share: bounds on log p(x) by importance weights."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions import LikelihoodName, make_likelihood
from pmodel.distributions.gaussian import Gaussian
from pmodel.distributions.noise import normal
from pmodel.nets.batch_share import own_share
from pmodel.nets.precision import in_own_dtype, upcast
from pmodel.settings.ranges import Count, Counts, Positive, Two
from pmodel.training.gradient import GradientModule

# A latent is in use if its mean given x varies over x by more than this (Burda et al., 2015, section 5).
LEAST_VARIANCE = 0.01
# Outputs of the decoder held at once by the importance-weighted bound: 2^24 float32 are 64 MiB.
MAX_NUMBERS = 2**24


class LatentVariableModule(GradientModule):
    """p(x) = ∫ p(x | z) p(z) dz with an approximate posterior q(z | x), a Gaussian for each layer of latents.

    With w = p(x, z) / q(z | x), log 1/K Σ_k w_k of K codes z_k ~ q(z | x) is in expectation a lower bound on log p(x)
    that rises with K (Burda et al., Importance Weighted Autoencoders, 2015, arXiv 1509.00519). Training maximizes it
    for K = `num_importance_samples`, in nats per example; the gradient passes through the codes, z = μ + σε.

    Args:
        likelihood, num_mixtures, likelihood_scale: p(x | z); see `pmodel.distributions`.
        num_importance_samples: K, in training.
    """

    units: ClassVar[dict[str, str]] = dict.fromkeys(["loss", "elbo", "reconstruction", "kl"], "nats")
    densities: ClassVar[dict[str, int]] = {"loss": 1, "elbo": -1, "reconstruction": 1}
    # What else to try where latents are not in use.
    more_latents = ""
    # How many standard normal numbers ε a code is made of.
    noise_dim: int

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        likelihood: LikelihoodName,
        num_mixtures: Count,
        likelihood_scale: Positive | Literal["learned"],
        num_importance_samples: Count,
        **common: Any,
    ):
        super().__init__(**common)
        self.num_importance_samples = num_importance_samples
        self.data_shape = torch.Size(data_shape)
        self.likelihood = make_likelihood(likelihood, num_levels, num_mixtures, likelihood_scale)
        # A Gaussian likelihood is a density, even of data on levels.
        self.continuous_density = isinstance(self.likelihood, Gaussian)
        channels, *positions = data_shape
        # What a decoder gives.
        self.output_shape = [self.likelihood.num_parameters(channels), *positions]

    @abstractmethod
    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the first layer's q(z | x), each (B, D), float32 or wider."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """The code: a mean of the posterior of the topmost layer, (B, D), with its gradients."""

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The code, (B, D)."""
        return self.features(x)

    @abstractmethod
    def log_weights(self, x: Tensor, posterior: tuple[Tensor, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x | z) and log p(z) − log q(z | x) of K codes each, (K, B), of noise ε (K, B, noise_dim)."""

    def loss(self, batch: Any) -> dict[str, Tensor]:
        x, K = batch.x, self.num_importance_samples
        posterior = self.posterior(x)
        noise = own_share(lambda n: normal((n, K, self.noise_dim), posterior[0]), len(x)).transpose(0, 1)
        log_likelihood, log_ratio = self.log_weights(x, posterior, noise)
        log_w = log_likelihood + log_ratio
        return {
            "loss": math.log(K) - log_w.logsumexp(0),
            "elbo": log_w.mean(0),
            "reconstruction": -log_likelihood.mean(0),
            "kl": -log_ratio.mean(0),
        }

    @property
    def meanings(self) -> dict[str, str]:
        return {
            "loss": f"what training minimizes: K = {self.num_importance_samples}, one draw of noise",
            "elbo": "K = 1 on that draw, its sign changed",
            "reconstruction": "a part of −elbo, −log p(x | z)",
            "kl": "the rest of −elbo, KL(q(z | x) ‖ p(z))",
        }

    def remarks(self, x: Tensor) -> list[str]:
        codes = torch.cat([self.encode(part) for part in x.split(500)])
        count, total = num_in_use(codes), codes.shape[1]
        if count == total or len(x) < 2:
            return []
        used = f"{count} of {total} latents {'is' if count == 1 else 'are'} in use" if count else "no latent is in use"
        advice = f"model.latent_dim={count}, which would do" if count else "a lower model.optimizer.lr"
        others = "the others" if count else "all"
        return [f"{used} ({others} hardly differ between examples); try {advice}{self.more_latents}"]

    def elbo(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """The bound with K = 1, nats, (B,), in bounded memory."""
        return self.importance_bound(x, 1, generator=generator)

    @torch.no_grad()
    def importance_bound(self, x: Tensor, num_samples: int, *, generator: Generator | None = None) -> Tensor:
        """log 1/K Σ_k p(x, z_k)/q(z_k | x) with K = num_samples, nats, (B,), in bounded memory; its expectation rises
        with K."""
        posterior, B = self.posterior(x), len(x)
        chunk = max(1, MAX_NUMBERS // (B * math.prod(self.output_shape)))
        log_total = torch.full_like(posterior[0][:, 0], -math.inf)
        for start in range(0, num_samples, chunk):
            k = min(chunk, num_samples - start)
            noise = normal((k, B, self.noise_dim), posterior[0], generator)
            log_w = sum(self.log_weights(x, posterior, noise))
            log_total = torch.logaddexp(log_total, log_w.logsumexp(0))
        return log_total - math.log(num_samples)

    def _log_likelihood(self, x: Tensor, output: Tensor) -> Tensor:
        """log p(x | z), (K, B), of the decoder's outputs (K·B, …)."""
        K = len(output) // len(x)
        return self.likelihood.log_prob(output, x.expand(K, *x.shape).flatten(0, 1)).unflatten(0, (K, len(x)))


def num_in_use(codes: Tensor) -> int:
    """How many dimensions of codes (N, D) vary by more than `LEAST_VARIANCE`."""
    return int((codes.double().var(0, correction=0) > LEAST_VARIANCE).sum())


def mean_and_log_var(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The halves of a network's output, float32 or wider."""
    mean, log_var = upcast(in_own_dtype(network, x)).chunk(2, dim=-1)
    return mean, log_var


def log_normal(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; mean, exp(log_var)), summed over the last axis, nats, without its −½ log 2π for each dimension."""
    return -0.5 * ((z - mean).square() * (-log_var).exp() + log_var).sum(-1)
