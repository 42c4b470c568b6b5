"""The autoencoder (Hinton & Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, 2006)."""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pmodel.models.parts import NetworkOrRun, build_networks
from pmodel.nets.precision import in_own_dtype, upcast
from pmodel.settings.ranges import Count, Counts
from pmodel.training.gradient import GradientModule


class Autoencoder(GradientModule):
    """Minimizes the distance between x and g(f(x)), summed over its dimensions; the code z = f(x) has `latent_dim`.

    `squared_error` is ‖x − g(f(x))‖². `cross_entropy` reads the decoder's output as logits and x in [0, 1] as
    probabilities; on grey pixels that is a loss and no likelihood. An autoencoder has no density and no samples.

    Args:
        network: dicts of an encoder (data_shape, num_outputs) and a decoder (latent_dim, output_shape), or the run from
            which both are taken, with their weights, to be trained further.
    """

    units: ClassVar[dict[str, str]] = {"loss": "per example", "squared_error_per_pixel": "per pixel"}

    def __init__(
        self,
        data_shape: Counts,
        latent_dim: Count,
        network: NetworkOrRun,
        reconstruction_loss: Literal["squared_error", "cross_entropy"],
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        if reconstruction_loss == "cross_entropy" and len(data_shape) != 3:
            raise ValueError("model.reconstruction_loss=cross_entropy: expected images, whose values are in [0, 1]")
        self.data_shape, self.latent_dim = torch.Size(data_shape), latent_dim
        self.reconstruction_loss = reconstruction_loss
        sizes = (
            {"data_shape": data_shape, "num_outputs": latent_dim},
            {"latent_dim": latent_dim, "output_shape": data_shape},
        )
        self.encoder, self.decoder, self.hparams["network"] = build_networks(network, *sizes)

    def loss(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x
        output = upcast(self.decoder(in_own_dtype(self.encoder, x)))
        reconstruction = self._output_mean(output)
        squared_error = (x - reconstruction).square().flatten(1)
        if self.reconstruction_loss == "squared_error":
            loss = squared_error.sum(1)
        else:
            loss = F.binary_cross_entropy_with_logits(output, x, reduction="none").flatten(1).sum(1)
        return {"loss": loss, "squared_error_per_pixel": squared_error.detach().mean(1)}

    def _output_mean(self, output: Tensor) -> Tensor:
        return output if self.reconstruction_loss == "squared_error" else output.sigmoid()

    def features(self, x: Tensor) -> Tensor:
        """The code f(x), (B, D), with its gradients."""
        return upcast(in_own_dtype(self.encoder, x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The code f(x), (B, D)."""
        return self.features(x)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """g(z), like x; squared-error outputs may leave [0, 1] a little."""
        return self._output_mean(upcast(in_own_dtype(self.decoder, z)))

    def reconstruct(self, x: Tensor) -> Tensor:
        """g(f(x))."""
        return self.decode(self.encode(x))
