"""The questions a model can answer, as types; see docs/metrics.md for what each number means.

An image is a float tensor (B, C, H, W) in [0, 1] on `num_levels` equally spaced levels, a point is (B, D). Values of
densities are in nats per example, summed over all its dimensions. A model has a method only if it can answer.
"""

from typing import Protocol, runtime_checkable

from torch import Generator, Tensor


@runtime_checkable
class Samples(Protocol):
    """Draws from p_model."""

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n examples (n, …); the same generator state gives the same examples."""


@runtime_checkable
class SamplesClasses(Protocol):
    """Draws from p_model(x | label), if it was trained with labels: `num_classes` is None where it was not."""

    num_classes: int | None

    def sample_classes(self, label: Tensor, *, generator: Generator | None = None) -> Tensor:
        """An example of each label (n,) int64, (n, …); the same generator state gives the same examples."""


@runtime_checkable
class SamplesLatents(Protocol):
    """Draws codes from the prior p(z); `sample` with the same generator state starts from the same codes."""

    def sample_latents(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes (n, D)."""


@runtime_checkable
class LogProb(Protocol):
    """Knows its density or probability exactly."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p_model(x), nats, (B,)."""


@runtime_checkable
class MaximizesLikelihood(Protocol):
    """Has the parameters of greatest likelihood of its training examples, once it has converged."""

    num_parameters: int
    converged: bool

    def regularized_nats(self) -> float:
        """By how many nats per training example the log-density would rise with a tenth of the regularizer."""


@runtime_checkable
class LogProbPerPixel(Protocol):
    """Knows how its exact `log_prob` comes about, pixel by pixel."""

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        """log p of each pixel given all pixels before it, nats, summed over its channels, (B, H, W); their sum is
        log p_model(x)."""


@runtime_checkable
class DrawsInOrder(Protocol):
    """Draws an image pixel by pixel; what is drawn stays as it is."""

    def drawing_order(self) -> Tensor:
        """The pixels i·W + j in the order in which they are drawn, (H·W,) int64."""


@runtime_checkable
class LowerBound(Protocol):
    """Knows a lower bound on log p_model(x)."""

    def elbo(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """The evidence lower bound, nats, (B,), with one sample of the latents of each example."""


@runtime_checkable
class ImportanceBound(Protocol):
    """Knows lower bounds on log p_model(x) that are the tighter the more samples they take."""

    def importance_bound(self, x: Tensor, num_samples: int, *, generator: Generator | None = None) -> Tensor:
        """The importance-weighted bound of K = `num_samples` samples of the latents of each example, nats, (B,)."""


@runtime_checkable
class Estimate(Protocol):
    """Estimates log p_model(x), neither exactly nor as a bound: by annealed importance sampling, for example, or with
    Hutchinson's trace."""

    def log_prob_estimate(self, x: Tensor, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Estimates of log p_model(x), nats, (B,), and their standard errors, nats: (B,) where each example has noise
        of its own, () where all share one error, as that of an estimated normalizing constant."""


@runtime_checkable
class UnnormalizedLogProb(Protocol):
    """Knows its density but for a constant factor."""

    def unnormalized_log_prob(self, x: Tensor) -> Tensor:
        """log p_model(x) + c, nats, (B,), with a constant c that is the same for all x."""


@runtime_checkable
class AnswersWith(Protocol):
    """Has settings that decide how it answers, and not what it has learned, such as a number of sampling steps."""

    answer_settings: tuple[str, ...]
    """The names of these arguments of its constructor; with any other values of them its weights still fit."""


@runtime_checkable
class ContinuousDensity(Protocol):
    """Says whether its log p_model(x), or the bound on it, is a density over R^D also where the data lie on levels;
    what does not say so has probabilities of levels there."""

    continuous_density: bool


@runtime_checkable
class Encodes(Protocol):
    """Turns examples into features."""

    def encode(self, x: Tensor) -> Tensor:
        """Features (B, D)."""


@runtime_checkable
class TrainableFeatures(Protocol):
    """Has features that a gradient can change; `encode` gives the same without one."""

    def features(self, x: Tensor) -> Tensor:
        """Features (B, D), differentiable in the model's parameters."""


@runtime_checkable
class Decodes(Protocol):
    """Turns codes into images."""

    def decode(self, z: Tensor) -> Tensor:
        """Examples (B, …) of codes (B, D): expectations, not draws; a Gaussian's may leave [0, 1] a little."""


@runtime_checkable
class Reconstructs(Protocol):
    """Gives back an example from what it kept of it."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Like x."""


@runtime_checkable
class Assigns(Protocol):
    """Sorts examples into clusters."""

    def assign(self, x: Tensor) -> Tensor:
        """The cluster of each example, (B,) int64."""


@runtime_checkable
class Discriminates(Protocol):
    """Was trained to tell data from its own samples."""

    def discriminate(self, x: Tensor) -> Tensor:
        """D(x), (B,): the probability that an example is real, or a score that is higher for more real ones."""


@runtime_checkable
class Classifies(Protocol):
    """Knows the labels of a data set."""

    def classify(self, x: Tensor) -> Tensor:
        """p(label | x), (B, number of classes)."""


@runtime_checkable
class Clusters(Protocol):
    """Describes the data by K centres."""

    def clusters(self) -> tuple[Tensor, Tensor]:
        """The centres (K, …), like examples, and the share of the training examples that belongs to each, (K,)."""


@runtime_checkable
class GaussianComponents(Protocol):
    """Is a mixture of K Gaussians over points (B, D)."""

    def gaussian_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (K,), means (K, D) and covariances (K, D, D)."""


@runtime_checkable
class PrincipalComponents(Protocol):
    """Describes the data by the directions in which they vary most."""

    def principal_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """The mean (…), the directions (M, …), of unit length and like examples, and the share of the total variance
        along each, (M,), in falling order."""


@runtime_checkable
class ComponentsSoFar(Protocol):
    """Knows these of a part of an epoch too."""

    def components_so_far(self) -> tuple[Tensor, Tensor, Tensor, int] | None:
        """The same three of the examples of this epoch so far, and how many these are; None of too few."""


@runtime_checkable
class HasBandwidths(Protocol):
    """Is a density of kernels around the training examples, whose widths can be compared with others."""

    def held_out_log_prob(self, ratios: Tensor) -> Tensor:
        """The mean log p(x) of held-out training examples under the others, nats, (F,), if each kernel were `ratios`
        (F,) times as wide."""

    bandwidths: Tensor
    """The widths of the kernel, (D,)."""


@runtime_checkable
class Completes(Protocol):
    """Fills in what is missing."""

    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        """x with new values where the boolean mask `known` (like x, or broadcast to it) is False.

        What x has there makes no difference; the same generator state gives the same values.
        """
