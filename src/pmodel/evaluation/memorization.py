"""Whether samples are nearer to training examples than unseen examples are."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from pmodel.capabilities import Samples
from pmodel.evaluation.draws import SEED
from pmodel.evaluation.findings import Finding, Metric, Quantity
from pmodel.evaluation.subject import Subject
from pmodel.metrics.copying import copying
from pmodel.metrics.nearest import nearest
from pmodel.settings.ranges import Count

COORDINATES = {3: "pixels", 1: "coordinates"}


class Memorization(Metric):
    """The share of samples that are nearer to a training example than examples of the split are, in pixels (of points:
    in their coordinates) and in features: 0.5 of a model that generalizes, 1 of one that repeats its training examples;
    below 0.5 samples are farther from the data than real examples are.

    Over all pairs of a sample and an example (Meehan, Chaudhuri, Dasgupta: A non-parametric test to detect data-copying
    in generative models, 2020, arXiv 2004.05675). The protocol holds the median distances.

    Args:
        num_samples: drawn from the model.
        num_examples: of the split; None: all.
        num_train: training examples that are searched; None: all that 2^28 numbers hold.
    """

    group = "memorization"
    question = Samples
    quantities = tuple(
        Quantity(
            f"nearer_to_training_in_{what}",
            "Of all pairs of a sample and an unseen example, the share in which the sample is nearer to its nearest "
            "training example: 0.5 if the model invents as it should, towards 1 the more it copies, below where "
            "samples are unlike the data.",
            f"nearer to training than unseen, {what}",
            ideal=0.5,
        )
        for what in (*COORDINATES.values(), "features")
    )

    def __init__(self, num_samples: Count, num_examples: Count | None, num_train: Count | None):
        self.num_samples, self.num_examples, self.num_train = num_samples, num_examples, num_train

    def asked(self, subject: Subject) -> list[Quantity]:
        own = COORDINATES[len(subject.data.shape)]
        return [part for part in self.quantities if part.name.endswith((own, "features"))]

    def measure(self, subject: Subject) -> Iterator[Finding]:
        in_coordinates, in_features = (part.name for part in self.asked(subject))
        if subject.split == "train":
            yield from self.missing("split=train: these examples are not unseen", in_coordinates, in_features)
            return
        count, train = self.num_samples, subject.training_examples.x[: self.num_train]
        unseen = subject.examples.x[: self.num_examples]
        features = subject.features_of_samples(count), subject.real_features(unseen), subject.real_features(train)
        yield from self._compared(subject, in_coordinates, subject.samples(count), unseen, train, {})
        yield from self._compared(subject, in_features, *features, subject.network)

    def _compared(
        self, subject: Subject, name: str, fake: Tensor, real: Tensor, among: Tensor, network: dict[str, Any]
    ) -> Iterator[Finding]:
        kept = subject.kept("distances", (real, among), lambda: {"nearest": _distances(real, among, subject)})
        distances = _distances(fake, among, subject), kept["nearest"]
        own = {
            "num_generated": len(fake),
            "noise_seed": SEED,
            "num_train": len(among),
            "median_distance_of_samples": distances[0].median().item(),
            "median_distance_of_unseen": distances[1].median().item(),
            **network,
            "error_by": "placements of both sets",
        }
        if distances[0].isfinite().all():
            yield self.number(subject, name, *copying(*distances), len(real), protocol=own)
        else:
            yield from self.missing("some of the samples are not finite", name)


def _distances(x: Tensor, among: Tensor, subject: Subject) -> Tensor:
    """Of each of x to the nearest of `among`."""
    return subject.over(lambda part, _: nearest(part.flatten(1).float(), among, 1)[0][:, 0], x)
