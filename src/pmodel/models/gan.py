"""Generative adversarial networks (Goodfellow et al.: Generative Adversarial Nets, 2014, arXiv 1406.2661)."""

import math
from typing import Any, Literal, TypedDict

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm as with_spectral_norm

from pmodel.distributions.noise import normal, uniform
from pmodel.instantiate import instantiate
from pmodel.nets.batch_share import own_share
from pmodel.nets.normalization import batch_statistics
from pmodel.nets.precision import in_own_dtype, upcast
from pmodel.settings.ranges import Count, Counts, Two
from pmodel.training.adversarial import AdversarialModule
from pmodel.training.penalties import in_full_precision

Prior = Literal["normal", "uniform"]
# Codes decoded at once.
CHUNK = 500


class Players(TypedDict):
    """Two networks: a generator (latent_dim, output_shape) and a discriminator (data_shape, num_outputs)."""

    generator: dict
    discriminator: dict


class GAN(AdversarialModule):
    """x = G(z), z ~ p(z), trained against a discriminator; it has no likelihood.

    Images are ½ + ½ tanh of the network's output, rounded to the data's levels, so that the discriminator sees what
    a sample is; the gradient passes the rounding as if it were not there (straight through; Bengio et al., 2013,
    arXiv 1308.3432). Points are the output itself.

    A class-conditional generator's code is (z, one-hot label), and its discriminator has an output for each label that
    is added to the one for all: for networks that end in a linear layer this is the projection discriminator (Miyato &
    Koyama, 2018, arXiv 1802.05637). Labels are drawn with the same probability for all.

    DCGAN is this model with other networks (`pmodel.nets.dcgan`).

    Args:
        class_conditional: whether both players are told the label.
        latent_dim: the dimensions of z.
        prior: p(z): N(0, I), or uniform with mean 0 and variance 1 in each dimension, as in the papers of 2014 to 2016.
        spectral_norm: divides each weight of the discriminator by its largest singular value (Miyato et al., 2018,
            arXiv 1802.05957).
        players: dicts of both players' networks.
    """

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        latent_dim: Count,
        players: Players,
        num_classes: Two | None,
        class_conditional: bool,
        prior: Prior,
        spectral_norm: bool,
        **common: Any,
    ):
        super().__init__(**common)
        if class_conditional and num_classes is None:
            raise ValueError(
                "model.class_conditional=true: expected data.num_classes, the number of labels, and it is null"
            )
        self.save_hyperparameters()
        self.latent_dim, self.prior, self.num_levels = latent_dim, prior, num_levels
        self.data_shape, self.are_images = torch.Size(data_shape), len(data_shape) == 3
        self.num_classes = num_classes if class_conditional else None
        num_labels = self.num_classes or 0
        self.code_dim = latent_dim + num_labels
        self.generator = instantiate(players["generator"], latent_dim=self.code_dim, output_shape=list(data_shape))
        self.discriminator = instantiate(
            players["discriminator"], data_shape=list(data_shape), num_outputs=1 + num_labels
        )
        normalized = any(isinstance(module, _BatchNorm) for module in self.discriminator.modules())
        if normalized and (self.penalty_weight or self.r1):
            setting = "model.objective=wasserstein_gp" if self.penalty_weight else f"model.r1={self.r1}"
            raise ValueError(
                f"model.players.discriminator.norm=batch: expected layer or none with {setting}, whose penalty is of"
                " single examples"
            )
        if spectral_norm:
            for module in self.discriminator.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    with_spectral_norm(module)
        self.start_average()

    def draw_codes(self, n: int, label: Tensor | None = None) -> Tensor:
        z = own_share(lambda count: self._noise(count, None), n)
        if self.num_classes is None:
            return z
        if label is None:
            label = own_share(lambda count: torch.randint(self.num_classes, (count,), device=self.device), n)
        elif missing := int(((label < 0) | (label >= self.num_classes)).sum()):
            raise ValueError(
                f"model.class_conditional=true: expected a label from 0 to {self.num_classes - 1} of each example, and"
                f" {missing} of {n} have none"
            )
        return self._with_label(z, label)

    def _noise(self, n: int, generator: Generator | None) -> Tensor:
        like = next(self.generator.parameters())
        if self.prior == "normal":
            return normal((n, self.latent_dim), like, generator)
        return (2 * uniform((n, self.latent_dim), like, generator) - 1) * math.sqrt(3)

    def _with_label(self, z: Tensor, label: Tensor) -> Tensor:
        return torch.cat([z, F.one_hot(label.to(z.device), self.num_classes).to(z.dtype)], 1)

    def generated(self, network: nn.Module, codes: Tensor) -> Tensor:
        output = upcast(in_own_dtype(network, codes))
        if not self.are_images:
            return output
        x = 0.5 + 0.5 * output.tanh()
        if self.num_levels is None:
            return x
        levels = self.num_levels - 1
        return x + ((x * levels).round() / levels - x).detach()

    def score(self, x: Tensor, codes: Tensor, full_precision: bool = False) -> Tensor:
        shown = 2 * x - 1 if self.are_images else x
        output = (in_full_precision if full_precision else in_own_dtype)(self.discriminator, shown)
        output = upcast(output)
        if self.num_classes is None:
            return output[:, 0]
        return output[:, 0] + (output[:, 1:] * codes[:, self.latent_dim :]).sum(1)

    def sample_latents(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes z ~ p(z), (n, D); of a class-conditional model with a one-hot label each."""
        z = self._noise(n, generator)
        if self.num_classes is None:
            return z
        share = uniform((n,), z, generator)
        return self._with_label(z, (share * self.num_classes).long().clamp(max=self.num_classes - 1))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """G(z), the examples (n, …) of codes (n, D)."""
        return torch.cat([self.generated(self.evaluated_generator, part) for part in z.split(CHUNK)])

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n examples G(z), (n, …)."""
        return self.decode(self.sample_latents(n, generator=generator))

    def sample_classes(self, label: Tensor, *, generator: Generator | None = None) -> Tensor:
        """An example of each label (n,) int64, of a class-conditional model.

        Raises:
            ValueError: if the model is not.
        """
        if self.num_classes is None:
            raise ValueError("model.class_conditional=false: the model was trained without labels, and has no classes")
        return self.decode(self._with_label(self._noise(len(label), generator), label))

    @torch.no_grad()
    def discriminate(self, x: Tensor) -> Tensor:
        """What the discriminator says of examples (B, …), (B,): the probability that they are real, or a score.

        Batch normalization is by the statistics of this batch, as in training. Of a class-conditional model: by the
        mean score over all labels.
        """
        codes = x.new_zeros(len(x), self.code_dim)
        if self.num_classes is not None:
            codes[:, self.latent_dim :] = 1 / self.num_classes
        with batch_statistics(self.discriminator):
            return self.objective.verdict(self.score(x, codes))
