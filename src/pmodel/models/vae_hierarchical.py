"""A VAE with several layers of latents (Burda et al., Importance Weighted Autoencoders, 2015, arXiv 1509.00519)."""

from typing import Any

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions.noise import normal
from pmodel.instantiate import instantiate
from pmodel.models.latent_variable import LatentVariableModule, log_normal, mean_and_log_var
from pmodel.models.parts import Network
from pmodel.nets.activations import Activation
from pmodel.nets.mlp import mlp
from pmodel.nets.precision import in_own_dtype
from pmodel.settings.ranges import Count, Counts


class HierarchicalVAE(LatentVariableModule):
    """p(x, h₁ … h_L) = p(x | h₁) p(h₁ | h₂) … N(h_L; 0, I), with q(h₁ … h_L | x) = q(h₁ | x) q(h₂ | h₁) …

    All conditionals of latents are Gaussians with diagonal covariance (section 2 of the paper, whose stochastic layers
    are counted from the data up, as here). Minimizes the negative importance-weighted bound, in nats, summed over
    pixels; K = 1 is the negative ELBO with one sample. The code of an example, `encode`, is the mean of the topmost
    layer, given the means of those below.

    Args:
        latent_dims: the dimensions of h₁ … h_L.
        hidden_dims: of the perceptrons between a layer and the next one up, and back in reverse; L − 1 lists.
        activation: of these perceptrons.
        network: dicts of an encoder (data_shape, num_outputs) of x and a decoder (latent_dim, output_shape) of h₁.
    """

    def __init__(
        self,
        latent_dims: Counts,
        hidden_dims: list[list[Count]],
        activation: Activation,
        network: Network,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        if len(hidden_dims) != len(latent_dims) - 1:
            raise ValueError(
                f"model.hidden_dims={hidden_dims}: expected {len(latent_dims) - 1} lists, one between each two of"
                f" model.latent_dims={latent_dims}"
            )
        self.latent_dims, self.latent_dim = list(latent_dims), latent_dims[-1]
        self.noise_dim = sum(latent_dims)
        self.encoder = instantiate(network["encoder"], data_shape=list(self.data_shape), num_outputs=2 * latent_dims[0])
        self.decoder = instantiate(network["decoder"], latent_dim=latent_dims[0], output_shape=self.output_shape)
        steps = list(zip(latent_dims[:-1], hidden_dims, latent_dims[1:], strict=True))
        self.ups = nn.ModuleList(mlp([low, *hidden, 2 * high], activation) for low, hidden, high in steps)
        self.downs = nn.ModuleList(mlp([high, *hidden[::-1], 2 * low], activation) for low, hidden, high in steps)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return mean_and_log_var(self.encoder, x)

    def log_weights(self, x: Tensor, posterior: tuple[Tensor, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        h: list[Tensor] = []
        log_ratio = noise.new_zeros(noise.shape[:2])
        for layer, epsilon in enumerate(noise.split(self.latent_dims, dim=2)):
            mean, log_var = posterior if layer == 0 else mean_and_log_var(self.ups[layer - 1], h[-1])
            h.append(mean + (0.5 * log_var).exp() * epsilon)
            # −log q; the 2π of q and p cancel.
            log_ratio = log_ratio + 0.5 * (epsilon.square() + log_var).sum(2)
        log_ratio = log_ratio - 0.5 * h[-1].square().sum(2)
        for layer, down in enumerate(self.downs):
            log_ratio = log_ratio + log_normal(h[layer], *mean_and_log_var(down, h[layer + 1]))
        return self._log_likelihood(x, in_own_dtype(self.decoder, h[0].flatten(0, 1))), log_ratio

    def sample_latents(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes h_L from N(0, I), (n, D_L)."""
        return normal((n, self.latent_dim), next(self.decoder.parameters()), generator)

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n examples: h_L from its prior, each layer below given the one above, then x from p(x | h₁)."""
        h = self.sample_latents(n, generator=generator)
        for down in reversed(self.downs):
            mean, log_var = mean_and_log_var(down, h)
            h = mean + (0.5 * log_var).exp() * normal(tuple(mean.shape), mean, generator)
        return self.likelihood.sample(in_own_dtype(self.decoder, h), generator=generator)

    def features(self, x: Tensor) -> Tensor:
        h = self.posterior(x)[0]
        for up in self.ups:
            h = mean_and_log_var(up, h)[0]
        return h

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """E[x | h₁], like x, with the mean of each layer given the one above."""
        for down in reversed(self.downs):
            z = mean_and_log_var(down, z)[0]
        return self.likelihood.mean(in_own_dtype(self.decoder, z))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x | h₁] at the mean of q(h₁ | x)."""
        return self.likelihood.mean(in_own_dtype(self.decoder, self.posterior(x)[0]))
