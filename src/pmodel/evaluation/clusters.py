"""How clusters agree with labels."""

from collections.abc import Iterator
from typing import ClassVar

from pmodel.capabilities import Assigns
from pmodel.evaluation.findings import Finding, Metric
from pmodel.evaluation.subject import Subject
from pmodel.metrics.clustering import clustering_scores
from pmodel.reporting.results import Group

NAMES = ("clustering_accuracy", "nmi", "ari")


class Clustering(Metric):
    """Agreement of a model's clusters with labels of the split, which no model has seen; see `clustering_scores`."""

    group: ClassVar[Group] = "clusters"

    def measure(self, subject: Subject) -> Iterator[Finding]:
        x, label = subject.examples
        model = subject.model
        if not isinstance(model, Assigns):
            yield from self.missing("the model has no assign", *NAMES)
        elif not (label >= 0).all():
            yield from self.missing("the data have no labels", *NAMES)
        else:
            cluster = subject.over(lambda part, _: model.assign(part), x)
            for name, value in clustering_scores(cluster, label).items():
                yield subject.number(name, value, "of 1", self.group, better="higher")
