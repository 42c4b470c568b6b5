"""The variational autoencoder (Kingma & Welling, Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114)."""

from typing import Any

import torch
from torch import Generator, Tensor

from pmodel.distributions.noise import normal
from pmodel.instantiate import instantiate
from pmodel.models.autoencoder import Network
from pmodel.models.latent_variable import LatentVariableModule, kl_to_standard_normal
from pmodel.nets.batch_share import batch_mean, own_share
from pmodel.nets.precision import in_own_dtype, upcast
from pmodel.settings.ranges import Count, NonNegative


class VAE(LatentVariableModule):
    """p(x) = ∫ p(x | z) N(z; 0, I) dz with the approximate posterior q(z | x) = N(z; μ(x), diag σ²(x)).

    Minimizes −E_q[log p(x | z)] + β KL(q(z | x) ‖ N(0, I)), in nats, summed over pixels and latent dimensions, with
    one sample of z per example; with `num_importance_samples` K > 1 the importance-weighted bound of K samples (the
    IWAE, see `LatentVariableModule`). β = 1 is the negative ELBO; other values are the β-VAE (Higgins et al., 2017).
    With `free_bits` λ, a latent dimension whose KL, averaged over the batch, is below λ counts as λ and gets no
    gradient (Kingma et al., 2016, arXiv 1606.04934, with single dimensions as the groups).

    Args:
        latent_dim: D, the dimension of z.
        network: dicts of an encoder (data_shape, num_outputs) and a decoder (latent_dim, output_shape).
    """

    def __init__(
        self,
        latent_dim: Count,
        network: Network,
        beta: NonNegative,
        free_bits: NonNegative,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        if self.num_importance_samples > 1 and (beta != 1 or free_bits > 0):
            name, value, only = ("beta", beta, 1) if beta != 1 else ("free_bits", free_bits, 0)
            setting = f"model.num_importance_samples={self.num_importance_samples}"
            raise ValueError(f"model.{name}={value}: expected {only} with {setting}, whose bound has no KL term")
        self.latent_dim = latent_dim
        self.beta, self.free_bits = beta, free_bits
        self.encoder = instantiate(network["encoder"], data_shape=list(self.data_shape), num_outputs=2 * latent_dim)
        self.decoder = instantiate(network["decoder"], latent_dim=latent_dim, output_shape=self.output_shape)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), each (B, D), float32 or wider."""
        mean, log_var = upcast(in_own_dtype(self.encoder, x)).chunk(2, dim=1)
        return mean, log_var

    @property
    def noise_dim(self) -> int:
        return self.latent_dim

    @property
    def meanings(self) -> dict[str, str]:
        known = super().meanings
        if self.beta != 1 or self.free_bits > 0:
            known["loss"] = "what training minimizes, with model.beta and model.free_bits"
        return known

    def log_weights(self, x: Tensor, posterior: tuple[Tensor, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = posterior
        z = mean + (0.5 * log_var).exp() * noise
        # log N(z; 0, I) − log q(z | x): the 2π of the two cancel.
        log_ratio = 0.5 * (noise.square() - z.square() + log_var).sum(2)
        return self._log_likelihood(x, in_own_dtype(self.decoder, z.flatten(0, 1))), log_ratio

    def loss(self, batch: Any) -> dict[str, Tensor]:
        if self.num_importance_samples > 1:
            return super().loss(batch)
        x = batch.x
        mean, log_var = self.posterior(x)
        z = mean + (0.5 * log_var).exp() * own_share(lambda n: normal((n, self.latent_dim), mean, None), len(mean))
        reconstruction = -self.likelihood.log_prob(in_own_dtype(self.decoder, z), x)
        kl_per_dim = kl_to_standard_normal(mean, log_var)
        kl = kl_per_dim.sum(1)
        counted = kl
        if self.free_bits > 0:
            free = torch.full_like(kl_per_dim, self.free_bits)
            counted = torch.where(batch_mean(kl_per_dim) > self.free_bits, kl_per_dim, free).sum(1)
        return {
            "loss": reconstruction + self.beta * counted,
            "elbo": -(reconstruction + kl),
            "reconstruction": reconstruction,
            "kl": kl,
        }

    @torch.no_grad()
    def elbo(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """The ELBO with the exact KL and one sample for the reconstruction, nats, (B,)."""
        mean, log_var = self.posterior(x)
        z = mean + (0.5 * log_var).exp() * normal((len(x), self.latent_dim), mean, generator)
        log_likelihood = self.likelihood.log_prob(in_own_dtype(self.decoder, z), x)
        return log_likelihood - kl_to_standard_normal(mean, log_var).sum(1)

    def sample_latents(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes from N(0, I), (n, D)."""
        like = next(self.decoder.parameters())
        return normal((n, self.latent_dim), like, generator)

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n examples: z from the prior, then x from p(x | z), so each pixel carries the likelihood's noise."""
        z = self.sample_latents(n, generator=generator)
        return self.likelihood.sample(in_own_dtype(self.decoder, z), generator=generator)

    def features(self, x: Tensor) -> Tensor:
        """The posterior mean, (B, D), with its gradients."""
        return self.posterior(x)[0]

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The posterior mean, (B, D)."""
        return self.features(x)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """E[x | z], like x."""
        return self.likelihood.mean(in_own_dtype(self.decoder, z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x | z] at the posterior mean z."""
        return self.decode(self.encode(x))
