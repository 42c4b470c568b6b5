"""What the two players of a GAN minimize, per example: each objective in a few lines beside its formula.

r = D(x) and f = D(G(z)) are what the discriminator's network gives, (B,): the logit of the probability that its input
is real where an objective takes it for one, else a score. σ is the logistic function.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

ObjectiveName = Literal["minimax", "non_saturating", "least_squares", "wasserstein", "wasserstein_gp", "hinge"]


class Objective(ABC):
    """A pair of losses, both minimized.

    Args:
        label_smoothing: ε: real examples are to be called real with 1 − ε (Salimans et al.: Improved Techniques for
            Training GANs, 2016, arXiv 1606.03498), which keeps the discriminator from extremes; 0 for none.
    """

    unit: ClassVar[str] = ""
    takes_smoothing: ClassVar[bool] = False

    def __init__(self, label_smoothing: float = 0.0):
        self.label_smoothing = label_smoothing

    @abstractmethod
    def discriminator(self, r: Tensor, f: Tensor) -> Tensor:
        """The discriminator's loss, (B,)."""

    @abstractmethod
    def generator(self, f: Tensor) -> Tensor:
        """The generator's loss, (B,)."""

    def verdict(self, score: Tensor) -> Tensor:
        """What D says of its input: a probability where there is one, else the score, (B,)."""
        return score

    def settled(self, d_real: float, d_fake: float) -> bool:
        """Whether mean verdicts on real and on generated examples leave the generator nothing to learn from."""
        return False


class Minimax(Objective):
    """min_G max_D E log D(x) + E log(1 − D(G(z))), D = σ(score) (Goodfellow et al., 2014, arXiv 1406.2661).

    - D: −log σ(r) − log(1 − σ(f))
    - G: log(1 − σ(f)), whose gradient vanishes where D is sure that an example is not real: it saturates
    """

    unit = "nats"
    takes_smoothing = True

    def discriminator(self, r: Tensor, f: Tensor) -> Tensor:
        # −log σ(s) = softplus(−s) and −log(1 − σ(s)) = softplus(s) = softplus(−s) + s.
        return F.softplus(-r) + self.label_smoothing * r + F.softplus(f)

    def generator(self, f: Tensor) -> Tensor:
        return -F.softplus(f)

    def verdict(self, score: Tensor) -> Tensor:
        return score.sigmoid()

    def settled(self, d_real: float, d_fake: float) -> bool:
        return d_fake < 0.01 < 0.99 - self.label_smoothing < d_real or min(d_real, d_fake) > 0.99 or d_real < 0.01


class NonSaturating(Minimax):
    """The same discriminator, and a generator with a strong gradient where it is worst (same paper, section 3).

    - G: −log σ(f)
    """

    def generator(self, f: Tensor) -> Tensor:
        return F.softplus(-f)


class LeastSquares(Objective):
    """Least Squares GAN (Mao et al., 2017, arXiv 1611.04076), with a = 0, b = c = 1.

    - D: ½ (r − 1)² + ½ f²
    - G: ½ (f − 1)²
    """

    takes_smoothing = True

    def discriminator(self, r: Tensor, f: Tensor) -> Tensor:
        return 0.5 * (r - (1 - self.label_smoothing)).square() + 0.5 * f.square()

    def generator(self, f: Tensor) -> Tensor:
        return 0.5 * (f - 1).square()

    def settled(self, d_real: float, d_fake: float) -> bool:
        return abs(d_real - (1 - self.label_smoothing)) < 0.02 and abs(d_fake) < 0.02


class Wasserstein(Objective):
    """Wasserstein GAN (Arjovsky et al., 2017, arXiv 1701.07875): D is a critic, a Lipschitz function.

    - D: f − r, whose negative approaches a multiple of the Wasserstein distance
    - G: −f
    """

    def discriminator(self, r: Tensor, f: Tensor) -> Tensor:
        return f - r

    def generator(self, f: Tensor) -> Tensor:
        return -f


class Hinge(Wasserstein):
    """Hinge loss (Lim & Ye: Geometric GAN, 2017, arXiv 1705.02894).

    - D: max(0, 1 − r) + max(0, 1 + f)
    - G: −f
    """

    def discriminator(self, r: Tensor, f: Tensor) -> Tensor:
        return F.relu(1 - r) + F.relu(1 + f)

    def settled(self, d_real: float, d_fake: float) -> bool:
        # Beyond ±1 there is no gradient; twice that in the mean leaves few examples inside.
        return d_real > 2 and d_fake < -2


OBJECTIVES: dict[ObjectiveName, type[Objective]] = {
    "minimax": Minimax,
    "non_saturating": NonSaturating,
    "least_squares": LeastSquares,
    "wasserstein": Wasserstein,
    "wasserstein_gp": Wasserstein,
    "hinge": Hinge,
}
