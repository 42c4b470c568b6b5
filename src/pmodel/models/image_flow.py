"""What normalizing flows of images share: noise in place of what was rounded off, and bounds on log p of the levels."""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from pmodel.distributions.logistic import StandardLogistic
from pmodel.distributions.noise import uniform
from pmodel.distributions.normal import StandardNormal
from pmodel.nets.batch_share import own_share
from pmodel.nets.flows.dequantization import Uniform, Variational, from_levels, to_levels
from pmodel.nets.flows.layers import FlowLayer, Logit, Sequence, measure
from pmodel.settings.ranges import Count, Counts, Two
from pmodel.training.gradient import GradientModule

# Training examples by which the layers are scaled before the first step, and the most values that these have together.
NUM_EXAMPLES, NUM_VALUES = 500, 2**22
# Numbers in the inputs of the flow at once, over the samples of all examples: 2^18 of them in 32 maps are 32 MiB.
MAX_NUMBERS = 2**18


class ImageFlow(GradientModule):
    """A density p(y) = p(z) |det ∂z/∂y| of y in R^D, with z = f(y) and an invertible f, for images on L levels; what it
    has outside of [0, 1)^D counts for no image.

    Image x of levels k has the probability of its cell, P(x) = L^(−D) ∫ p((k + u) / L) du over u in [0, 1)^D. So
    log p((k + u) / L) − D log L − log q(u | x), of u ~ q(u | x), is in expectation a lower bound on log P(x) (Theis et
    al., A note on the evaluation of generative models, 2015, arXiv 1511.01844; Ho et al., Flow++, 2019, arXiv
    1902.00275), and the log-mean of K of them one that rises with K. Training maximizes it with one u, in nats per
    image. Samples are ⌊L y⌋ of draws y.

    A subclass has `flow`, of y (B, C, H, W) to z (B, D).

    Args:
        dequantization: q(u | x): `uniform`, or `variational`, which is trained too.
        dequantization_channels: of the latter's networks.
        prior: p(z).

    Raises:
        ValueError: for data that are no images on levels.
    """

    # What layers are scaled by is set once, after averaging has begun.
    averages_buffers = False
    # The noise of a level is finer than bfloat16.
    needs_float32 = True
    units: ClassVar[dict[str, str]] = {"loss": "nats"}
    flow: FlowLayer

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        dequantization: Literal["uniform", "variational"],
        dequantization_channels: Count,
        prior: Literal["normal", "logistic"],
        **common: Any,
    ):
        super().__init__(**common)
        if len(data_shape) != 3:
            raise ValueError(f"data.shape={list(data_shape)}: expected images [C, H, W]; for points choose model=flow")
        if num_levels is None:
            raise ValueError(
                "data.num_levels=null: expected images on levels, to which the model adds noise itself; leave out"
                " data.dequantize=true"
            )
        self.data_shape, self.num_levels = torch.Size(data_shape), num_levels
        self.prior = (StandardLogistic if prior == "logistic" else StandardNormal)(self.data_shape.numel())
        is_uniform = dequantization == "uniform"
        self.noise = Uniform() if is_uniform else Variational(tuple(data_shape), 4, dequantization_channels, 1)
        self.register_buffer("measured", torch.tensor(False))

    def setup(self, stage: str) -> None:
        # A resumed run's own scales come after this.
        if stage == "fit" and not self.measured:
            count = max(8, min(NUM_EXAMPLES, NUM_VALUES // self.data_shape.numel()))
            self.measure(self.data.examples("train", count).x)
        super().setup(stage)

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Scales the layers by examples x, as `ActNorm` does."""
        x = x.to(self.device)
        measure(self.flow, self._dequantized(x, uniform(x.shape, x, Generator().manual_seed(0)))[0])
        self.measured.fill_(True)

    def _dequantized(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """y = (k + u) / L of uniform noise like x, and log q(u | x), nats, (B,)."""
        dtype = next(self.parameters()).dtype
        x, noise = x.to(dtype), noise.to(dtype)
        u, log_q = self.noise(x, noise)
        return from_levels(x, u, self.num_levels), log_q

    def _bound(self, x: Tensor, noise: Tensor) -> Tensor:
        """The bound on log P(x) with the u of uniform noise like x, nats, (B,)."""
        y, log_q = self._dequantized(x, noise)
        z, log_det = self.flow(y)
        return self.prior.log_prob(z) + log_det - self.data_shape.numel() * math.log(self.num_levels) - log_q

    def loss(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x
        noise = own_share(lambda n: uniform((n, *self.data_shape), x), len(x))
        return {"loss": -self._bound(x, noise)}

    @torch.no_grad()
    def elbo(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """The bound with one u for each example, nats, (B,), in bounded memory."""
        return self.importance_bound(x, 1, generator=generator)

    @torch.no_grad()
    def importance_bound(self, x: Tensor, num_samples: int, *, generator: Generator | None = None) -> Tensor:
        """log 1/K Σ_k p((k + u_k) / L) L^(−D) / q(u_k | x) with K = num_samples, nats, (B,), in bounded memory; its
        expectation rises with K."""
        at_once = max(1, MAX_NUMBERS // self.data_shape.numel())
        parts = []
        for part in x.split(at_once):
            log_total = torch.full((len(part),), -math.inf, dtype=next(self.parameters()).dtype, device=x.device)
            chunk = max(1, at_once // len(part))
            for start in range(0, num_samples, chunk):
                k = min(chunk, num_samples - start)
                repeated = part.repeat(k, 1, 1, 1)
                log_w = self._bound(repeated, uniform(repeated.shape, part, generator)).view(k, len(part))
                log_total = torch.logaddexp(log_total, log_w.logsumexp(0))
            parts.append(log_total - math.log(num_samples))
        return torch.cat(parts)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """z at the middle of the cell of x, (B, D)."""
        x = x.to(next(self.parameters()).dtype)
        return self.flow(from_levels(x, torch.full_like(x, 0.5), self.num_levels))[0]

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """The image of which z (B, D) is the code, on the levels of the data."""
        return to_levels(self.flow.inverse(z.to(next(self.parameters()).dtype)), self.num_levels).float()

    def sample_latents(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes from the prior, (n, D)."""
        return self.prior.sample(n, generator=generator)

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n images on the levels of the data."""
        return self.decode(self.sample_latents(n, generator=generator))


def with_logit(alpha: float | None, flow: nn.Module) -> FlowLayer:
    """A flow after a `Logit`; without one, if alpha is None."""
    return flow if alpha is None else Sequence(Logit(alpha), flow)
