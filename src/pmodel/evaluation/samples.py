"""How near a model's samples are to real examples, by the features of a network."""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from pmodel.capabilities import Samples
from pmodel.evaluation.findings import Finding, Floor, Metric
from pmodel.evaluation.subject import SEED, Subject
from pmodel.metrics.frechet import Moments, frechet_distance
from pmodel.metrics.inception_score import inception_score
from pmodel.metrics.kernel import kernel_distance
from pmodel.metrics.manifolds import density_coverage, precision_recall
from pmodel.ranges import Count, Two
from pmodel.reporting.results import Group

FRECHET, KERNEL, SCORE = "Fréchet distance", "kernel distance", "Inception score"
MANIFOLDS = ("precision", "recall", "density", "coverage")
BETTER = {FRECHET: "lower", KERNEL: "lower", SCORE: "higher", **dict.fromkeys(MANIFOLDS, "higher")}
UNITS = {FRECHET: "distance of features", KERNEL: "distance of features", SCORE: "classes"}


class SampleQuality(Metric):
    """Compares samples with real examples of the split, by features; and real training examples likewise, the floor.

    - Fréchet distance: of Inception's features the FID (Heusel et al., 2017, arXiv 1706.08500)
    - kernel distance: of Inception's features the KID (Bińkowski et al., 2018, arXiv 1801.01401)
    - Inception score: exp E KL(p(label | x) ‖ p(label)) by the network's own classes (Salimans et al., 2016, arXiv
      1606.03498); none where it knows no classes
    - precision, recall (Kynkäänniemi et al., 2019, arXiv 1904.06991), density, coverage (Naeem et al., 2020, arXiv
      2002.09797): of as many real examples as samples, the first of each

    All of them depend on both counts, which stand in the protocol.

    Args:
        num_samples: drawn from the model, and training examples for the floor.
        num_real: examples of the split; None: all.
        k_precision_recall, k_density_coverage: to which neighbour the balls reach.
    """

    group: ClassVar[Group] = "samples"

    def __init__(
        self,
        num_samples: Two = 2000,
        num_real: Two | None = None,
        k_precision_recall: Count = 3,
        k_density_coverage: Count = 5,
    ):
        for name, value in {"num_samples": num_samples, "num_real": num_real}.items():
            if value is not None and value < 2:
                raise ValueError(f"metric.samples.{name}={value}: expected at least 2")
        for name, value in {"k_precision_recall": k_precision_recall, "k_density_coverage": k_density_coverage}.items():
            if value < 1:
                raise ValueError(f"metric.samples.{name}={value}: expected at least 1")
        self.num_samples, self.num_real = num_samples, num_real
        self.k_precision_recall, self.k_density_coverage = k_precision_recall, k_density_coverage

    def measure(self, subject: Subject) -> Iterator[Finding]:
        if not isinstance(subject.model, Samples):
            yield from self.missing("the model has no sample", *BETTER)
            return
        extractor = subject.extractor
        real = subject.real_features(subject.examples.x[: self.num_real])
        fake = subject.features_of_samples(self.num_samples)
        own = {
            "num_generated": len(fake),
            "noise_seed": SEED,
            "num_real": len(real),
            "feature_network": extractor.name,
            "feature_hash": extractor.hash,
            "resizer": extractor.resizer,
        }
        yield from self._numbers(subject, self._values(subject, real, fake), own)
        if subject.split == "train":
            return  # real training examples are what samples are compared with
        train = subject.training_examples.x[: self.num_samples]
        own = {**own, "num_train": len(train)}
        del own["noise_seed"], own["num_generated"]
        key = (f"{self.k_precision_recall}, {self.k_density_coverage}", extractor.hash, real, train)
        floor = subject.kept("floors", key, lambda: self._values(subject, real, subject.real_features(train)))
        for number in self._numbers(subject, floor, own):
            if isinstance(number, dict):
                yield Floor(number)

    def _values(self, subject: Subject, real: Tensor, other: Tensor) -> dict[str, Tensor]:
        """The value of each number, float64; NaN where there is none."""
        found = {FRECHET: frechet_distance(Moments.of(other), Moments.of(real)), KERNEL: kernel_distance(other, real)}
        found[SCORE] = math.nan
        if subject.extractor.num_classes is not None:
            found[SCORE] = inception_score(subject.extractor.probabilities(other).cpu())
        n = min(len(real), len(other))
        found |= precision_recall(real[:n], other[:n], self.k_precision_recall)._asdict()
        found |= density_coverage(real[:n], other[:n], self.k_density_coverage)._asdict()
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

    def _numbers(self, subject: Subject, values: dict[str, Tensor], own: dict[str, Any]) -> Iterator[Finding]:
        ks = dict(zip(MANIFOLDS, [self.k_precision_recall] * 2 + [self.k_density_coverage] * 2, strict=True))
        num_others = own.get("num_generated", own.get("num_train"))
        for name, value in values.items():
            count, protocol, rest = own["num_real"], own, {}
            if name in ks:
                count = min(own["num_real"], num_others)
                protocol = own | {"k": ks[name], "num_compared": count}
            elif name == SCORE:
                # It looks at no real example.
                count, rest = num_others, {"split": "drawn" if "num_generated" in own else "train"}
                protocol = {key: entry for key, entry in own.items() if key != "num_real"}
            if not value.isfinite():
                yield from self.missing(self._reason(subject, name, count, ks.get(name)), name)
                continue
            unit = UNITS.get(name, "of 1")
            number = subject.number(name, value.item(), unit, self.group, count, better=BETTER[name], protocol=protocol)
            yield number | rest

    def _reason(self, subject: Subject, name: str, count: int, k: int | None) -> str:
        """Why a number is NaN."""
        if name == SCORE and subject.extractor.num_classes is None:
            return f"its {subject.extractor.name} know no classes"
        if k is not None and count <= k:
            return f"{count} examples have no {k} neighbours"
        return "some of the samples are not finite"
