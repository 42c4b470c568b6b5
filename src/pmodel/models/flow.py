"""A normalizing flow: an exact density of points by a change of variables."""

from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from pmodel.distributions.flow import FlowDensity, FlowName, FlowSettings, check_settings
from pmodel.distributions.noise import normal
from pmodel.settings.ranges import Counts
from pmodel.training.gradient import GradientModule

# Training examples that the scale of the data is taken from.
NUM_EXAMPLES = 10_000


class Flow(GradientModule):
    """p(x) = N(z; 0, I) |det ∂z/∂x| with z = f((x − μ) / σ) and an invertible f; minimizes −log p(x), in nats, for
    points x in R^D (Papamakarios et al., Normalizing Flows for Probabilistic Modeling and Inference, 2019, arXiv
    1912.02762).

    μ and σ are of each dimension of the training examples, taken once, before the first step: the mean, and the
    standard deviation, or a quarter of the largest distance from the mean where that is less. So z of bounded data fill
    most of [−5, 5], where splines bend, and few of any data are outside.

    Args:
        flow, settings: f; see `pmodel.distributions.flow`.

    Raises:
        ValueError: for images.
    """

    # μ and σ are set once, after averaging has begun.
    averages_buffers = False
    continuous_density = True
    units: ClassVar[dict[str, str]] = {"loss": "nats"}
    densities: ClassVar[dict[str, int]] = {"loss": 1}

    def __init__(self, data_shape: Counts, flow: FlowName, settings: FlowSettings, **common: Any):
        super().__init__(**common)
        if len(data_shape) != 1:
            raise ValueError(
                f"data.shape={list(data_shape)}: expected points [D] with model=flow; for images choose model=nice,"
                " realnvp or glow"
            )
        self.save_hyperparameters()
        if self.compile_networks:
            raise ValueError("model.compile=true: expected false; zuko builds its transformations anew at each call")
        self.data_shape = torch.Size(data_shape)
        check_settings(flow, settings, "model.settings")
        self.density = FlowDensity(data_shape[0], flow, settings)
        for name, value in (("mean", torch.zeros), ("scale", torch.ones)):
            self.register_buffer(name, value(data_shape[0]))
        self.register_buffer("standardized", torch.tensor(False))

    def setup(self, stage: str) -> None:
        super().setup(stage)
        # A resumed run's own μ and σ come after this.
        if stage == "fit" and not self.standardized:
            self.standardize(self.data.examples("train", NUM_EXAMPLES).x)

    @torch.no_grad()
    def standardize(self, x: Tensor) -> None:
        """Takes μ and σ from examples x (N, D); a dimension that is constant keeps its scale."""
        x = x.double()
        mean, std = x.mean(0), x.std(0, correction=0)
        scale = torch.minimum(std, (x - mean).abs().amax(0) / 4)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 0, scale, 1))
        self.standardized.fill_(True)

    def _log_prob(self, x: Tensor) -> Tensor:
        """log p(x), nats, (B,), with its gradients."""
        return self.density.log_prob((x - self.mean) / self.scale) - self.scale.log().sum()

    def loss(self, batch: Any) -> dict[str, Tensor]:
        return {"loss": -self._log_prob(batch.x)}

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), nats, (B,); with a gradient where x has one, so that a flow can be the prior of another model."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            return self._log_prob(x)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """z, (B, D)."""
        return self.density((x - self.mean) / self.scale)[0]

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """The x of codes z, (B, D)."""
        return self.density.inverse(z) * self.scale + self.mean

    def sample_latents(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes of N(0, I), (n, D)."""
        return normal((n, *self.data_shape), self.mean, generator)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n points, (n, D)."""
        return self.decode(self.sample_latents(n, generator=generator))
