"""How clouds of points compare, where examples are points and not images."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pmodel.capabilities import Samples
from pmodel.evaluation.draws import SEED
from pmodel.evaluation.findings import Finding, Metric, Quantity, Reference
from pmodel.evaluation.subject import REFERENCE_PART, Subject
from pmodel.metrics.clouds import PARTITIONS, sliced_wasserstein, sliced_wasserstein_error
from pmodel.metrics.kernel import median_distance, mmd
from pmodel.metrics.modes import NUM_STDS, SMALLEST_SHARE, mode_scores
from pmodel.settings.ranges import Count, Two

WASSERSTEIN, MMD = "sliced_wasserstein_distance", "squared_mmd"
# What "high quality" and "covered" mean.
RULE = {"high_quality_within_stds": NUM_STDS, "covered_from_share": SMALLEST_SHARE}


class Clouds(Metric):
    """Distances between a cloud of samples and that of the split, in the coordinates themselves; and of training
    points, the reference.

    Args:
        num_samples: drawn from the model, and at most as many training points; None: as in `SampleQuality`.
    """

    group = "samples"
    question = Samples
    better = "lower"
    quantities = (
        Quantity(
            WASSERSTEIN,
            "How far points have to move for one cloud to become the other, seen from many directions.",
            "sliced Wasserstein distance",
            unit="of the coordinates",
            skill="samples like the data",
        ),
        Quantity(
            MMD,
            "How two clouds of points differ at the width of a Gaussian kernel; 0 on average for equal ones.",
            "squared maximum mean discrepancy",
            least=0.0,
        ),
    )

    def __init__(self, num_samples: Two | None):
        self.num_samples = num_samples

    def asked(self, subject: Subject) -> list[Quantity]:
        return super().asked(subject) if len(subject.data.shape) == 1 else []

    def measure(self, subject: Subject) -> Iterator[Finding]:
        real = subject.examples.x
        if len(real) < 2 or median_distance(real.double()) == 0:
            yield from self.missing("the examples are too few, or mostly the same", WASSERSTEIN, MMD)
            return
        count = subject.num_samples(self.num_samples)
        train, drawn = subject.reference_examples[:count], subject.samples(count)
        yield from self._compare(subject, drawn, {"num_generated": len(drawn), "noise_seed": SEED})
        if subject.split != "train" and len(train) > 1:
            own = {"num_train": len(train), "train_part": REFERENCE_PART}
            yield from map(Reference, self._compare(subject, train, own))

    def _compare(self, subject: Subject, x: Tensor, own: dict[str, Any]) -> Iterator[Finding]:
        real = subject.examples.x
        protocol = {**own, "error_by": str(PARTITIONS)}
        distance = sliced_wasserstein(x, real), sliced_wasserstein_error(x, real)
        yield self.number(subject, WASSERSTEIN, *distance, protocol=protocol)
        bandwidth = median_distance(real.double())
        protocol = {**own, "bandwidth": bandwidth, "error_by": "variance of a U-statistic"}
        yield self.number(subject, MMD, *mmd(x, real, bandwidth), protocol=protocol)


class Modes(Metric):
    """How many modes of a known mixture the samples cover, and how many samples lie at one; see `mode_scores`.

    Args:
        num_samples: drawn from the model.
    """

    group = "samples"
    question = Samples
    better = "higher"
    quantities = (
        Quantity(
            "modes_covered",
            "How many modes of the known mixture get their share of samples.",
            unit="of all modes",
            skill="samples of all modes",
        ),
        Quantity(
            "high_quality_samples",
            "The share of samples within three standard deviations of the nearest mode.",
            "high-quality samples",
            skill="realistic samples",
        ),
    )

    def __init__(self, num_samples: Count):
        self.num_samples = num_samples

    def asked(self, subject: Subject) -> list[Quantity]:
        return [] if getattr(subject.data, "mixture", None) is None else super().asked(subject)

    def measure(self, subject: Subject) -> Iterator[Finding]:
        mixture, samples = subject.data.mixture, subject.samples(self.num_samples)
        of_mixture = tuple(map(torch.tensor, (mixture.means, mixture.stds, mixture.weights)))
        scores = mode_scores(samples, *of_mixture)
        drawn = {
            "count": len(samples),
            "split": "drawn",
            "protocol": RULE | {"noise_seed": SEED, "error_by": "binomial"},
        }
        unit = f"of {scores.num_modes}"
        yield self.number(subject, "modes_covered", scores.covered, scores.covered_error, unit=unit, **drawn)
        yield self.number(subject, "high_quality_samples", scores.high_quality, scores.high_quality_error, **drawn)
