"""How clouds of points compare, where examples are points and not pictures."""

from collections.abc import Iterator
from typing import ClassVar

import torch

from pmodel.capabilities import Samples
from pmodel.evaluation.findings import Finding, Floor, Metric
from pmodel.evaluation.subject import SEED, Subject
from pmodel.metrics.clouds import sliced_wasserstein
from pmodel.metrics.kernel import median_distance, mmd
from pmodel.metrics.modes import NUM_STDS, SMALLEST_SHARE, mode_scores
from pmodel.ranges import Count, Two
from pmodel.reporting.results import Group

WASSERSTEIN, MMD = "sliced Wasserstein distance", "squared maximum mean discrepancy"
# What "high quality" and "covered" mean.
RULE = {"high_quality_within_stds": NUM_STDS, "covered_from_share": SMALLEST_SHARE}


class Clouds(Metric):
    """Distances between a cloud of samples and that of the split, in the coordinates themselves; and of as many
    training points, the floor.

    Args:
        num_samples: drawn from the model.
    """

    group: ClassVar[Group] = "samples"

    def __init__(self, num_samples: Two = 2000):
        if num_samples < 2:
            raise ValueError(f"metric.clouds.num_samples={num_samples}: expected at least 2")
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
        train = subject.training_examples.x[: self.num_samples]
        drawn = subject.samples(self.num_samples)
        yield from self._compare(subject, drawn, {"num_generated": len(drawn), "noise_seed": SEED})
        if subject.split != "train":
            yield from map(Floor, self._compare(subject, train, {"num_train": len(train)}))

    def _compare(self, subject: Subject, x: torch.Tensor, own: dict) -> Iterator[Finding]:
        real = subject.examples.x
        bandwidth = median_distance(real.double())
        found = {WASSERSTEIN: (sliced_wasserstein(x, real), "of the coordinates", own)}
        found[MMD] = (mmd(x, real, bandwidth), "of 1", {**own, "bandwidth": bandwidth})
        for name, (value, unit, protocol) in found.items():
            yield subject.number(name, value, unit, self.group, better="lower", protocol=protocol)


class Modes(Metric):
    """How many modes of a known mixture the samples cover, and how many samples lie at one; see `mode_scores`.

    Args:
        num_samples: drawn from the model.
    """

    group: ClassVar[Group] = "samples"

    def __init__(self, num_samples: Count = 10_000):
        if num_samples < 1:
            raise ValueError(f"metric.modes.num_samples={num_samples}: expected at least 1")
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
        scores = mode_scores(samples, *map(torch.tensor, (mixture.means, mixture.stds, mixture.weights)))
        drawn = {
            "split": "drawn",
            "count": len(samples),
            "better": "higher",
            "group": self.group,
            "protocol": subject.protocol(**RULE, noise_seed=SEED),
        }
        yield {"name": names[0], "value": scores.covered, "unit": f"of {scores.num_modes}", **drawn}
        yield {"name": names[1], "value": scores.high_quality, "unit": "of 1", **drawn}
