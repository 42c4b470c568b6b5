"""What a model loses of an example."""

from collections.abc import Iterator

from pmodel.capabilities import Reconstructs
from pmodel.evaluation.findings import Finding, Metric, Quantity
from pmodel.evaluation.subject import Subject
from pmodel.metrics.likelihood import estimate


class Reconstruction(Metric):
    """The squared difference of examples of the split and their reconstructions, mean over pixels (of points: over
    coordinates), then over examples."""

    group = "reconstruction"
    question = Reconstructs
    unit = "squared error per pixel"
    better = "lower"
    quantities = (
        Quantity(
            "reconstruction_error", "How far reconstructions are from what they reconstruct.", skill="reconstructions"
        ),
    )

    def measure(self, subject: Subject) -> Iterator[Finding]:
        model, unit = subject.model, self.unit
        if len(subject.data.shape) == 1:
            is_standardized = getattr(subject.data, "standardize", False)
            unit = f"squared error per {'standardized ' if is_standardized else ''}coordinate"
        errors = subject.over(lambda x, _: (model.reconstruct(x) - x).square().flatten(1).mean(1), subject.lazily[0])
        yield self.number(subject, "reconstruction_error", *estimate(errors), unit=unit)
