"""Whether samples are nearer to training examples than unseen examples are."""

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from pmodel.capabilities import Samples
from pmodel.evaluation.findings import Finding, Metric
from pmodel.evaluation.subject import SEED, Subject
from pmodel.metrics.copying import copying, copying_error
from pmodel.metrics.nearest import nearest
from pmodel.runs.results import Group
from pmodel.settings.ranges import Count

NAME = "nearer to training than unseen"


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

    group: ClassVar[Group] = "memorization"
    meanings: ClassVar[dict[str, str]] = {
        "nearer to training than unseen": (
            "Of all pairs of a sample and an unseen example, the share in which the sample is nearer to its "
            "nearest training example: 0.5 if the model invents as it should, towards 1 the more it copies, "
            "below where samples are unlike the data."
        ),
    }

    def __init__(self, num_samples: Count, num_examples: Count | None, num_train: Count | None):
        self.num_samples, self.num_examples, self.num_train = num_samples, num_examples, num_train

    def measure(self, subject: Subject) -> Iterator[Finding]:
        coordinates = "pixels" if len(subject.data.shape) == 3 else "coordinates"
        names = (f"{NAME}, {coordinates}", f"{NAME}, features")
        if not isinstance(subject.model, Samples):
            yield from self.missing("the model has no sample", *names)
            return
        if subject.split == "train":
            yield from self.missing("split=train: these examples are not unseen", *names)
            return
        train = subject.training_examples.x[: self.num_train]
        unseen = subject.examples.x[: self.num_examples]
        samples = subject.samples(self.num_samples)
        in_coordinates = (samples, unseen, train)
        in_features = (
            subject.features_of_samples(self.num_samples),
            subject.real_features(unseen),
            subject.real_features(train),
        )
        for name, (fake, real, among) in zip(names, (in_coordinates, in_features), strict=True):
            unseen_distances = subject.kept(
                "distances", (real, among), lambda real=real, among=among: {"nearest": _distances(real, among, subject)}
            )["nearest"]
            distances = _distances(fake, among, subject), unseen_distances
            own = {
                "num_generated": len(fake),
                "noise_seed": SEED,
                "num_train": len(among),
                "median_distance_of_samples": distances[0].median().item(),
                "median_distance_of_unseen": distances[1].median().item(),
            }
            if fake is in_features[0]:
                extractor = subject.extractor
                own |= {
                    "feature_network": extractor.name,
                    "feature_hash": extractor.hash,
                    "resizer": extractor.resizer,
                }
            if not distances[0].isfinite().all():
                yield from self.missing("some of the samples are not finite", name)
                continue
            value, error = copying(*distances), copying_error(*distances)
            rest = {"ideal": 0.5, "standard_error": error, "protocol": own | {"error_by": "placements of both sets"}}
            yield subject.number(name, value, "of 1", self.group, len(real), **rest)


def _distances(x: Tensor, among: Tensor, subject: Subject) -> Tensor:
    """Of each of x to the nearest of `among`."""
    return subject.over(lambda part, _: nearest(part.flatten(1).float(), among, 1)[0][:, 0], x)
