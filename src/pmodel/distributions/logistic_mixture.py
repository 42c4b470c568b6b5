"""Images on many levels: a mixture of logistics, integrated over each level's bin."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pmodel.distributions.likelihood import Likelihood
from pmodel.distributions.noise import gumbel, uniform
from pmodel.nets.precision import upcast

# Where a bin's probability, or its complement, is as good as nothing; further out its logarithm is −∞ in float32, and
# gradients are NaN.
MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 7.0


class DiscretizedLogisticMixture(Likelihood):
    """The likelihood of PixelCNN++ (Salimans et al., 2017, arXiv 1701.05517), for any number of levels.

    On y = 2x − 1 ∈ [−1, 1] with levels 2/(L − 1) apart and half a bin h = 1/(L − 1):

        p(y) = Σ_k π_k ∏_c [σ((y_c + h − μ_kc)/s_kc) − σ((y_c − h − μ_kc)/s_kc)]

    where the lowest bin reaches to −∞ and the highest to +∞. All channels of a pixel share the component k, and the
    mean of a channel moves linearly with the earlier channels: μ_kc ← μ_kc + Σ_{d<c} tanh(a_kcd) y_d.
    Parameters (B, P, …), P = K(1 + 2C + C(C − 1)/2): logits of π, means, log scales, coefficients, in that order.
    Deviation: none of the paper's approximations for tiny bins is needed, since differences of sigmoids are taken
    in log space.
    """

    def __init__(self, num_levels: int, num_mixtures: int):
        super().__init__()
        self.num_levels, self.num_mixtures = num_levels, num_mixtures

    def num_parameters(self, channels: int) -> int:
        return self.num_mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits (B, K, …), means and log scales (B, C, K, …), coefficients (B, C(C−1)/2, K, …), float32."""
        per_mixture = parameters.shape[1] // self.num_mixtures
        channels = next(c for c in range(1, per_mixture) if 1 + 2 * c + c * (c - 1) // 2 == per_mixture)
        pairs = channels * (channels - 1) // 2
        blocks = upcast(parameters).unflatten(1, (per_mixture, self.num_mixtures))
        logits, means, log_scales, coefficients = blocks.split([1, channels, channels, pairs], dim=1)
        return logits.squeeze(1), means, log_scales.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE), coefficients.tanh()

    @staticmethod
    def _shift(coefficients: Tensor, c: int, earlier: Tensor) -> Tensor:
        """What the earlier channels (B, c, K or 1, …) add to the mean of channel c: (B, K, …)."""
        first = c * (c - 1) // 2
        return (coefficients[:, first : first + c] * earlier).sum(1)

    def log_prob_per_position(self, parameters: Tensor, x: Tensor) -> Tensor:
        logits, means, log_scales, coefficients = self._split(parameters)
        y = (2 * x - 1).unsqueeze(2)
        half_bin = 1 / (self.num_levels - 1)
        means = torch.stack(
            [means[:, c] + self._shift(coefficients, c, y[:, :c]) for c in range(means.shape[1])], dim=1
        )
        centred = y - means
        inv_scale = (-log_scales).exp()
        upper, lower = inv_scale * (centred + half_bin), inv_scale * (centred - half_bin)
        # log(σ(u) − σ(l)) = log σ(u) + log σ(−l) + log(1 − e^{l−u}): exact, and finite in float32 for tiny bins.
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
        lowest, highest = y < -1 + half_bin, y > 1 - half_bin
        log_bin = torch.where(lowest, F.logsigmoid(upper), torch.where(highest, F.logsigmoid(-lower), inside))
        return (logits.log_softmax(1) + log_bin.sum(1)).logsumexp(1)

    def noise(self, parameters: Tensor, generator: Generator | None = None) -> tuple[Tensor, ...]:
        logits, means, _, _ = self._split(parameters)
        u = uniform((len(means), means.shape[1], *means.shape[3:]), means, generator).clamp(1e-5, 1 - 1e-5)
        return gumbel(tuple(logits.shape), logits, generator), u.log() - torch.log1p(-u)

    def draw(self, parameters: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        logits, means, log_scales, coefficients = self._split(parameters)
        k = (logits + noise[0]).argmax(1)[:, None, None]
        means, log_scales = (t.gather(2, k.expand_as(t[:, :, :1])).squeeze(2) for t in (means, log_scales))
        coefficients = coefficients.gather(2, k.expand_as(coefficients[:, :, :1])).squeeze(2)
        logistic = log_scales.exp() * noise[1]
        y = torch.empty_like(means)
        for c in range(y.shape[1]):
            y[:, c] = self._to_level(means[:, c] + self._shift(coefficients, c, y[:, :c]) + logistic[:, c])
        return (y + 1) / 2

    def _to_level(self, y: Tensor) -> Tensor:
        """The centre of the bin that y falls in, in [−1, 1]."""
        steps = self.num_levels - 1
        return 2 * ((y + 1) / 2 * steps).round().clamp(0, steps) / steps - 1

    def mean(self, parameters: Tensor) -> Tensor:
        """E[x] = 1/(L − 1) Σ_{j=1}^{L−1} P(level ≥ j), exact for one channel.

        For later channels of a colour, whose means depend on the values of the earlier ones, these stand at their own
        means: an image to look at, not the exact expectation.
        """
        logits, means, log_scales, coefficients = self._split(parameters)
        weights, inv_scales = logits.softmax(1), (-log_scales).exp()
        steps = self.num_levels - 1
        x = torch.empty_like(means[:, :, 0])
        for c in range(x.shape[1]):
            mean = means[:, c] + self._shift(coefficients, c, 2 * x[:, :c].unsqueeze(2) - 1)
            expected = torch.zeros_like(mean)
            for j in range(1, self.num_levels):
                lower_edge = (2 * j - 1) / steps - 1
                expected += torch.sigmoid((mean - lower_edge) * inv_scales[:, c])
            x[:, c] = (weights * expected).sum(1) / steps
        return x
