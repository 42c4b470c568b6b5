"""How clouds of points compare, where examples are points and not images."""

from collections.abc import Iterator
from typing import ClassVar

import torch

from pmodel.capabilities import Samples
from pmodel.evaluation.findings import Finding, Floor, Metric
from pmodel.evaluation.subject import FLOOR_PART, SEED, Subject
from pmodel.metrics.clouds import PARTITIONS, sliced_wasserstein, sliced_wasserstein_error
from pmodel.metrics.kernel import median_distance, mmd_estimate
from pmodel.metrics.modes import NUM_STDS, SMALLEST_SHARE, mode_errors, mode_scores
from pmodel.runs.results import Group
from pmodel.settings.ranges import Count, Two

WASSERSTEIN, MMD = "sliced Wasserstein distance", "squared maximum mean discrepancy"
# What "high quality" and "covered" mean.
RULE = {"high_quality_within_stds": NUM_STDS, "covered_from_share": SMALLEST_SHARE}


class Clouds(Metric):
    """Distances between a cloud of samples and that of the split, in the coordinates themselves; and of training
    points, the floor.

    Args:
        num_samples: drawn from the model, and at most as many training points; None: as in `SampleQuality`.
    """

    group: ClassVar[Group] = "samples"
    meanings: ClassVar[dict[str, str]] = {
        "sliced Wasserstein distance": "How far points have to move for one cloud to become the other, seen from "
        "many directions.",
        "squared maximum mean discrepancy": "How two clouds of points differ at the width of a Gaussian kernel; 0 on "
        "average for equal ones.",
    }

    def __init__(self, num_samples: Two | None):
        self.num_samples = num_samples

    def measure(self, subject: Subject) -> Iterator[Finding]:
        if len(subject.data.shape) != 1:
            return
        if not isinstance(subject.model, Samples):
            yield from self.missing("the model has no sample", WASSERSTEIN, MMD)
            return
        real = subject.examples.x
        if len(real) < 2 or median_distance(real.double()) == 0:
            yield from self.missing("the examples are too few, or mostly the same", WASSERSTEIN, MMD)
            return
        count = subject.num_samples(self.num_samples)
        train, drawn = subject.floor_examples[:count], subject.samples(count)
        yield from self._compare(subject, drawn, {"num_generated": len(drawn), "noise_seed": SEED})
        if subject.split != "train" and len(train) > 1:
            yield from map(Floor, self._compare(subject, train, {"num_train": len(train), "train_part": FLOOR_PART}))

    def _compare(self, subject: Subject, x: torch.Tensor, own: dict) -> Iterator[Finding]:
        real = subject.examples.x
        value, error = sliced_wasserstein(x, real), sliced_wasserstein_error(x, real)
        protocol = {**own, "error_by": str(PARTITIONS)}
        rest = {"better": "lower", "standard_error": error, "protocol": protocol}
        yield subject.number(WASSERSTEIN, value, "of the coordinates", self.group, **rest)
        bandwidth = median_distance(real.double())
        value, error = mmd_estimate(x, real, bandwidth)
        protocol = {**own, "bandwidth": bandwidth, "error_by": "variance of a U-statistic"}
        rest = {"better": "lower", "least": 0.0, "standard_error": error, "protocol": protocol}
        yield subject.number(MMD, value, "of 1", self.group, **rest)


class Modes(Metric):
    """How many modes of a known mixture the samples cover, and how many samples lie at one; see `mode_scores`.

    Args:
        num_samples: drawn from the model.
    """

    group: ClassVar[Group] = "samples"
    meanings: ClassVar[dict[str, str]] = {
        "modes covered": "How many modes of the known mixture get their share of samples.",
        "high-quality samples": "The share of samples within three standard deviations of the nearest mode.",
    }

    def __init__(self, num_samples: Count):
        self.num_samples = num_samples

    def measure(self, subject: Subject) -> Iterator[Finding]:
        mixture = getattr(subject.data, "mixture", None)
        if mixture is None:
            return
        names = ("modes covered", "high-quality samples")
        if not isinstance(subject.model, Samples):
            yield from self.missing("the model has no sample", *names)
            return
        samples = subject.samples(self.num_samples)
        of_mixture = tuple(map(torch.tensor, (mixture.means, mixture.stds, mixture.weights)))
        scores, errors = mode_scores(samples, *of_mixture), mode_errors(samples, *of_mixture)
        drawn = {
            "split": "drawn",
            "count": len(samples),
            "better": "higher",
            "group": self.group,
            "protocol": subject.protocol(**RULE, noise_seed=SEED, error_by="binomial"),
        }
        units, values = (f"of {scores.num_modes}", "of 1"), (scores.covered, scores.high_quality)
        for name, unit, value, error in zip(names, units, values, errors, strict=True):
            yield {"name": name, "value": value, "unit": unit, "standard_error": error, **drawn}
