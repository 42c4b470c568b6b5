"""What a model loses of an example."""

from collections.abc import Iterator
from typing import ClassVar

from pmodel.capabilities import Reconstructs
from pmodel.evaluation.findings import Finding, Metric
from pmodel.evaluation.subject import Subject
from pmodel.metrics.likelihood import estimate
from pmodel.runs.results import Group


class Reconstruction(Metric):
    """The squared difference of examples of the split and their reconstructions, mean over pixels (of points: over
    coordinates), then over examples."""

    group: ClassVar[Group] = "reconstruction"
    meanings: ClassVar[dict[str, str]] = {
        "reconstruction error": "How far reconstructions are from what they reconstruct.",
    }

    def measure(self, subject: Subject) -> Iterator[Finding]:
        name, model = "reconstruction error", subject.model
        if not isinstance(model, Reconstructs):
            yield from self.missing("the model has no reconstruct", name)
            return
        errors = subject.over(lambda x, _: (model.reconstruct(x) - x).square().flatten(1).mean(1), subject.examples.x)
        mean, error, count = estimate(errors)
        unit = "squared error per pixel" if len(subject.data.shape) == 3 else "squared error per coordinate"
        if getattr(subject.data, "standardize", False):
            unit = "squared error per standardized coordinate"
        yield subject.number(name, mean, unit, self.group, count, better="lower", standard_error=error)
