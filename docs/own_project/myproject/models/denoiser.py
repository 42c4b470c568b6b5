"""The denoising autoencoder (Vincent et al., Extracting and Composing Robust Features, 2008)."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from pmodel.models.parts import NetworkOrRun, build_networks
from pmodel.nets.batch_share import own_share
from pmodel.settings.ranges import Count, Counts, NonNegative
from pmodel.training.gradient import GradientModule


class Denoiser(GradientModule):
    """Minimizes ‖x − g(f(x + σε))‖², ε ~ N(0, I), summed over the dimensions of x.

    data_shape: of an example, without the batch
    latent_dim: D, dimensions of the code f(x)
    noise: σ, in units where white is 1
    network: the encoder f (data_shape, num_outputs) and the decoder g (latent_dim, output_shape)
    """

    units: ClassVar[dict[str, str]] = {"loss": "per example"}

    def __init__(self, data_shape: Counts, latent_dim: Count, noise: NonNegative, network: NetworkOrRun, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.noise = noise
        self.encoder, self.decoder, self.hparams["network"] = build_networks(
            network,
            {"data_shape": data_shape, "num_outputs": latent_dim},
            {"latent_dim": latent_dim, "output_shape": data_shape},
        )

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Of a batch of examples (B, …): a number for each, (B,)."""
        x = batch.x
        noise = own_share(lambda n: torch.randn(n, *x.shape[1:], device=x.device), len(x))
        restored = self.decoder(self.encoder(x + self.noise * noise))
        return {"loss": (x - restored).square().flatten(1).sum(1)}

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The code f(x), (B, D)."""
        return self.encoder(x)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """g(f(x)), of the shape of x."""
        return self.decoder(self.encoder(x))
