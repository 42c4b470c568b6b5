"""How clusters agree with labels."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pmodel.capabilities import Assigns
from pmodel.evaluation.findings import Finding, Metric, Quantity, without_labels
from pmodel.evaluation.subject import Subject
from pmodel.metrics.clustering import clustering_scores
from pmodel.metrics.errors import Partitions, partition_error

# For the errors.
PARTITIONS = Partitions(2, 32)


class Clustering(Metric):
    """Agreement of a model's clusters with labels of the split, which no model has seen; see `clustering_scores`."""

    group = "clusters"
    question = Assigns
    better = "higher"
    quantities = (
        Quantity(
            "clustering_accuracy",
            "The share of examples in a cluster that is matched with their label, under the best one-to-one matching.",
            skill="clusters like the labels",
        ),
        Quantity(
            "nmi",
            "Normalized mutual information of clusters and labels: 0 if independent, 1 if the same partition.",
            "normalized mutual information",
        ),
        Quantity(
            "ari",
            "Adjusted Rand index: agreement of clusters and labels on pairs of examples, 0 by chance, 1 at best.",
            "adjusted Rand index",
        ),
    )

    def measure(self, subject: Subject) -> Iterator[Finding]:
        x, label = subject.lazily
        model = subject.model
        if reason := without_labels(label):
            yield from self.missing(reason, *(part.name for part in self.quantities))
            return
        cluster = subject.over(lambda part, _: model.assign(part), x)
        errors = partition_error(_scores, torch.stack([cluster, label], 1), partitions=PARTITIONS).tolist()
        for (name, value), error in zip(clustering_scores(cluster, label).items(), errors, strict=True):
            yield self.number(subject, name, value, error, protocol={"error_by": str(PARTITIONS)})


def _scores(pairs: Tensor) -> Tensor:
    return torch.tensor(list(clustering_scores(*pairs.unbind(1)).values()), dtype=torch.float64)
