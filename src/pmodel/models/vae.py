"""The variational autoencoder (Kingma & Welling, Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114)."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from pmodel.distributions.noise import normal
from pmodel.models.latent_variable import LatentVariableModule, mean_and_log_var
from pmodel.models.parts import NetworkOrRun, build_networks, build_prior
from pmodel.nets.batch_share import batch_mean, own_share
from pmodel.nets.precision import in_own_dtype
from pmodel.settings.ranges import Count, NonNegative, Whole


class VAE(LatentVariableModule):
    """p(x) = ∫ p(x | z) p(z) dz with the approximate posterior q(z | x) = N(z; μ(x), diag σ²(x)).

    Minimizes −E_q[log p(x | z)] + β KL(q(z | x) ‖ p(z)), in nats, summed over pixels and latent dimensions, with
    one sample of z per example; with `num_importance_samples` K > 1 the importance-weighted bound of K samples (the
    IWAE, see `LatentVariableModule`). β = 1 is the negative ELBO; other values are the β-VAE (Higgins et al., 2017).
    With `free_bits` λ, a latent dimension whose KL, averaged over the batch, is below λ counts as λ and gets no
    gradient (Kingma et al., 2016, arXiv 1606.04934, with single dimensions as the groups).

    With `beta_warmup` T > 0 the optimizer's step t = 0, 1, … has β_t = β min(1, t/T), so the codes carry something
    before the KL term can switch them off (Sønderby et al., Ladder Variational Autoencoders, 2016, arXiv 1602.02282;
    Bowman et al., 2015, arXiv 1511.06349, along a sigmoid). T is in steps, as Bowman et al. have it, where Sønderby et
    al. count epochs: β_t then depends on what a checkpoint counts alone, and not on the size of the data. Validation,
    best.ckpt and all answers have the whole β.

    p(z) is N(0, I), or a normalizing flow that is trained with the networks (Chen et al., Variational Lossy
    Autoencoder, 2017, arXiv 1611.02731), or the density of a finished run's model, which stays as it is; the KL from
    one of the last two is estimated with the same sample of z.

    Args:
        latent_dim: D, the dimension of z.
        network: dicts of an encoder (data_shape, num_outputs) and a decoder (latent_dim, output_shape), or the run from
            which both are taken, with their weights, to be trained further.
        prior: p(z); see `pmodel.models.parts.build_part`.
        beta_warmup: T, in optimizer steps; 0: none, as of runs that were saved before there was one.
    """

    def __init__(
        self,
        latent_dim: Count,
        network: NetworkOrRun,
        prior: dict,
        beta: NonNegative,
        free_bits: NonNegative,
        beta_warmup: Whole = 0,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        for name, value, only in (("beta", beta, 1), ("free_bits", free_bits, 0), ("beta_warmup", beta_warmup, 0)):
            if self.num_importance_samples > 1 and value != only:
                setting = f"model.num_importance_samples={self.num_importance_samples}"
                raise ValueError(f"model.{name}={value}: expected {only} with {setting}, whose bound has no KL term")
        if beta == 0 and beta_warmup > 0:
            raise ValueError(f"model.beta_warmup={beta_warmup}: expected 0 with model.beta=0, which nothing rises to")
        self.latent_dim = self.noise_dim = latent_dim
        self.beta, self.free_bits, self.beta_warmup = beta, free_bits, beta_warmup
        self.prior, self.hparams["prior"] = build_prior(prior, latent_dim)
        self.frozen = () if any(p.requires_grad for p in self.prior.parameters()) else ("prior",)
        self.has_exact_kl = hasattr(self.prior, "kl_from")
        if free_bits > 0 and not self.has_exact_kl:
            raise ValueError(
                f"model.free_bits={free_bits}: expected 0 with model/prior=run or flow, whose KL has no dimensions"
            )
        of_encoder = {"data_shape": list(self.data_shape), "num_outputs": 2 * latent_dim}
        of_decoder = {"latent_dim": latent_dim, "output_shape": self.output_shape}
        self.encoder, self.decoder, self.hparams["network"] = build_networks(network, of_encoder, of_decoder)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return mean_and_log_var(self.encoder, x)

    @property
    def current_beta(self) -> float:
        """β_t in a step of a training; β in validation, and wherever no trainer trains."""
        trains = self.training and self._trainer is not None and self.trainer.training
        if self.beta_warmup == 0 or not trains:
            return self.beta
        return self.beta * min(1.0, self.global_step / self.beta_warmup)

    def changing_settings(self) -> dict[str, float]:
        return {"beta": self.current_beta} if self.beta_warmup > 0 else {}

    def on_train_start(self) -> None:
        super().on_train_start()
        sizes = getattr(self.trainer.datamodule, "split_sizes", None)
        if self.beta_warmup > 0 and sizes is not None and not sizes.get("validation"):
            raise ValueError(
                f"model.beta_warmup={self.beta_warmup}: expected 0, since the data have no validation examples;"
                " by training's loss, best.ckpt would be of an epoch with a small β"
            )

    @property
    def ending(self) -> str | None:
        steps = self.beta_warmup if self._trainer is None else self.global_step
        short = f"model.beta_warmup={self.beta_warmup}: training has ended before it, after {steps} steps"
        return "\n".join(filter(None, (super().ending, short if steps < self.beta_warmup else None))) or None

    @property
    def meanings(self) -> dict[str, str]:
        known = super().meanings
        if self.beta != 1 or self.free_bits > 0:
            known["loss"] = "what training minimizes, with model.beta and model.free_bits"
        return known

    def log_weights(self, x: Tensor, posterior: tuple[Tensor, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = posterior
        z = mean + (0.5 * log_var).exp() * noise
        log_ratio = self._log_ratio(z.flatten(0, 1), noise.flatten(0, 1), log_var.repeat(len(z), 1)).view(z.shape[:2])
        return self._log_likelihood(x, in_own_dtype(self.decoder, z.flatten(0, 1))), log_ratio

    def _log_ratio(self, z: Tensor, noise: Tensor, log_var: Tensor) -> Tensor:
        """log p(z) − log q(z | x) of z = μ + σε with ε = noise, nats, (B,)."""
        log_q = -0.5 * ((noise.square() + log_var).sum(1) + z.shape[1] * math.log(2 * math.pi))
        return self.prior.log_prob(z) - log_q

    def loss(self, batch: Any) -> dict[str, Tensor]:
        if self.num_importance_samples > 1:
            return super().loss(batch)
        mean, log_var = posterior = self.posterior(batch.x)
        noise = own_share(lambda n: normal((n, self.latent_dim), mean, None), len(mean))
        reconstruction, kl = self._parts(batch.x, posterior, noise)
        counted = kl
        if self.free_bits > 0:
            kl_per_dim = self.prior.kl_from(mean, log_var)
            free = torch.full_like(kl_per_dim, self.free_bits)
            counted = torch.where(batch_mean(kl_per_dim) > self.free_bits, kl_per_dim, free).sum(1)
        return {
            "loss": reconstruction + self.current_beta * counted,
            "elbo": -(reconstruction + kl),
            "reconstruction": reconstruction,
            "kl": kl,
        }

    def _parts(self, x: Tensor, posterior: tuple[Tensor, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """−log p(x | z) and KL(q(z | x) ‖ p(z)) with noise ε (B, D), nats, (B,) each; the KL is exact with a prior that
        knows it, else estimated with z."""
        mean, log_var = posterior
        z = mean + (0.5 * log_var).exp() * noise
        reconstruction = -self.likelihood.log_prob(in_own_dtype(self.decoder, z), x)
        kl = self.prior.kl_from(mean, log_var).sum(1) if self.has_exact_kl else -self._log_ratio(z, noise, log_var)
        return reconstruction, kl

    @torch.no_grad()
    def elbo(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """The ELBO with one sample of z for the reconstruction, and for the KL too where `prior` doesn't know it
        exactly; nats, (B,)."""
        posterior = self.posterior(x)
        reconstruction, kl = self._parts(x, posterior, normal((len(x), self.latent_dim), posterior[0], generator))
        return -(reconstruction + kl)

    def sample_latents(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes from the prior, (n, D)."""
        return self.prior.sample(n, generator=generator)

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n examples: z from the prior, then x from p(x | z), so each pixel carries the likelihood's noise."""
        z = self.sample_latents(n, generator=generator)
        return self.likelihood.sample(in_own_dtype(self.decoder, z), generator=generator)

    def features(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    @property
    def more_latents(self) -> str:
        lower = ", model.beta=1" if self.beta > 1 else ""
        return f"{lower}, model.free_bits=0.1 or model.beta_warmup=1000"

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """E[x | z], like x."""
        return self.likelihood.mean(in_own_dtype(self.decoder, z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x | z] at the posterior mean z."""
        return self.decode(self.encode(x))
