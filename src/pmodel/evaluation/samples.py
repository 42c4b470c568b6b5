"""How near a model's samples are to real examples, by the features of a network."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from pmodel.capabilities import Samples
from pmodel.evaluation.draws import SEED
from pmodel.evaluation.findings import Finding, Metric, Quantity, Reference
from pmodel.evaluation.subject import REFERENCE_PART, Subject
from pmodel.metrics.errors import Partitions, partition_error
from pmodel.metrics.frechet import Moments, frechet_distance
from pmodel.metrics.inception_score import inception_score
from pmodel.metrics.kernel import kernel_distance
from pmodel.metrics.manifolds import density_coverage, precision_recall
from pmodel.settings.ranges import Count, Two

FRECHET, KERNEL, SCORE = "frechet_distance", "kernel_distance", "inception_score"
MANIFOLDS = ("precision", "recall", "density", "coverage")
# For the error of a Fréchet distance of more features than this, which takes seconds.
FEW, MANY_FEATURES = Partitions(2, 4), 256


class SampleQuality(Metric):
    """Compares samples with real examples of the split, by features; likewise real training examples, the reference.

    - Fréchet distance: of Inception's features the FID (Heusel et al., 2017, arXiv 1706.08500)
    - kernel distance: of Inception's features the KID (Bińkowski et al., 2018, arXiv 1801.01401)
    - Inception score: exp E KL(p(label | x) ‖ p(label)) by the network's own classes (Salimans et al., 2016, arXiv
      1606.03498); none where it knows no classes
    - precision, recall (Kynkäänniemi et al., 2019, arXiv 1904.06991), density, coverage (Naeem et al., 2020, arXiv
      2002.09797): of as many real examples as samples, the first of each

    All of them depend on both counts, which stand in the protocol. Each has a standard error: how far it would spread
    over fresh samples and fresh real examples, as large as these (`pmodel.metrics.errors`; of the kernel distance the
    variance of a U-statistic).

    The reference is what training examples have that the data set's own network has not seen: the half of the training
    split that it is not trained on, in the split's order. Of Inception's features it is the same half.

    Args:
        num_samples: drawn from the model, and at most as many training examples for the reference; None: as many as
            the reference has, 10,000 at most.
        num_real: examples of the split; None: all.
        k_precision_recall, k_density_coverage: to which neighbour the balls reach.
    """

    group = "samples"
    question = Samples
    better = "higher"
    quantities = (
        Quantity(
            FRECHET,
            "The Fréchet distance between Gaussians fitted to the features of real and of generated examples; it "
            "depends on the feature network and on both counts.",
            "Fréchet distance",
            unit="distance of features",
            better="lower",
            skill="samples like the data",
        ),
        Quantity(
            KERNEL,
            "The squared maximum mean discrepancy of the features of real and of generated examples: unlike the "
            "Fréchet distance it has no bias of the count, so equal sets can fall below 0.",
            unit="distance of features",
            better="lower",
            least=0.0,
        ),
        Quantity(
            SCORE,
            "How sure a classifier is about each sample and how varied its verdicts are; real examples play no part.",
            "Inception score",
            unit="classes",
        ),
        Quantity(
            "precision",
            "The share of samples that lie among the real examples: whether what is drawn looks real.",
            skill="realistic samples",
        ),
        Quantity(
            "recall",
            "The share of real examples that lie among the samples: whether all that is real is drawn.",
            skill="varied samples",
        ),
        Quantity("density", "How many real examples' neighbourhoods a sample lies in, on average."),
        Quantity("coverage", "The share of real examples that have a sample nearby."),
    )

    def __init__(
        self,
        num_samples: Two | None,
        num_real: Two | None,
        k_precision_recall: Count,
        k_density_coverage: Count,
    ):
        self.num_samples, self.num_real = num_samples, num_real
        self.k_precision_recall, self.k_density_coverage = k_precision_recall, k_density_coverage

    def measure(self, subject: Subject) -> Iterator[Finding]:
        real = subject.real_features(subject.examples.x[: self.num_real])
        count = subject.num_samples(self.num_samples)
        fake = subject.features_of_samples(count)
        own = {"num_generated": len(fake), "noise_seed": SEED, "num_real": len(real), **subject.network}
        yield from self._numbers(subject, self._values(subject, real, fake), own, fake)
        if subject.split == "train":
            return  # real training examples are what samples are compared with
        train = subject.reference_examples[:count]
        if len(train) < 2:
            return
        own = {"num_real": len(real), **subject.network, "num_train": len(train), "train_part": REFERENCE_PART}
        key = (f"{self.k_precision_recall}, {self.k_density_coverage}", subject.extractor.hash, real, train)
        other = subject.real_features(train)
        values = subject.kept("references", key, lambda: self._values(subject, real, other))
        yield from (Reference(n) for n in self._numbers(subject, values, own, other) if isinstance(n, dict))

    def _values(self, subject: Subject, real: Tensor, other: Tensor) -> dict[str, Tensor]:
        """Each number and its standard error, (2,), float64; NaN where there is none."""
        found = {FRECHET: _with_error(_frechet, other, real, partitions=_partitions(FRECHET, other))}
        found[KERNEL] = torch.tensor([kernel_distance(other, real)], dtype=torch.float64)
        found[SCORE] = torch.full((1, 2), math.nan, dtype=torch.float64)
        if subject.extractor.num_classes is not None:
            p = subject.extractor.probabilities(other).cpu()
            found[SCORE] = _with_error(_score, p, partitions=_partitions(SCORE, other))
        n = min(len(real), len(other))
        balls = _with_error(self._balls, real[:n], other[:n], local=True)
        found |= dict(zip(MANIFOLDS, balls.split(1), strict=True))
        return {name: row[0] for name, row in found.items()}

    def _balls(self, real: Tensor, other: Tensor) -> Tensor:
        """The numbers of `MANIFOLDS`, (4,)."""
        found = precision_recall(real, other, self.k_precision_recall)
        found += density_coverage(real, other, self.k_density_coverage)
        return torch.tensor(found, dtype=torch.float64)

    def _numbers(
        self, subject: Subject, values: dict[str, Tensor], own: dict[str, Any], other: Tensor
    ) -> Iterator[Finding]:
        ks = dict(zip(MANIFOLDS, [self.k_precision_recall] * 2 + [self.k_density_coverage] * 2, strict=True))
        for name, (value, error) in values.items():
            count, protocol, rest = own["num_real"], own, {}
            if name in ks:
                count = min(own["num_real"], len(other))
                protocol = own | {"k": ks[name], "num_compared": count}
            elif name == SCORE:
                # It looks at no real example.
                count, rest = len(other), {"split": "drawn" if "num_generated" in own else "train"}
                protocol = {key: entry for key, entry in own.items() if key != "num_real"}
            elif name == KERNEL:
                protocol = own | {"subset_size": "all"}
            if not value.isfinite():
                yield from self.missing(self._reason(subject, name, count, ks.get(name)), name)
                continue
            error_by = "variance of a U-statistic" if name == KERNEL else str(_partitions(name, other[:count]))
            rest |= {"protocol": protocol | {"error_by": error_by}}
            yield self.number(subject, name, value.item(), error.item(), count, **rest)

    def _reason(self, subject: Subject, name: str, count: int, k: int | None) -> str:
        """Why a number is NaN."""
        if name == SCORE and subject.extractor.num_classes is None:
            return f"its {subject.extractor.name} know no classes"
        if k is not None and count <= k:
            return f"{count} examples have no {k} neighbours"
        return "some of the samples are not finite"


def _with_error(statistic: Callable[..., Tensor], *sets: Tensor, **how: Any) -> Tensor:
    """Values and standard errors, (K, 2), float64."""
    value = statistic(*sets)
    error = partition_error(statistic, *sets, **how) if value.isfinite().all() else torch.full_like(value, math.nan)
    return torch.stack([value, error], 1)


def _partitions(name: str, other: Tensor) -> Partitions:
    """Into how many parts, and how often, what a number compares is cut for its error."""
    if name in MANIFOLDS:
        return Partitions.of_local(len(other))
    return FEW if name == FRECHET and other.shape[1] > MANY_FEATURES else Partitions()


def _frechet(x: Tensor, y: Tensor) -> Tensor:
    return torch.tensor([frechet_distance(Moments.of(x), Moments.of(y))], dtype=torch.float64)


def _score(p: Tensor) -> Tensor:
    return torch.tensor([inception_score(p)], dtype=torch.float64)
