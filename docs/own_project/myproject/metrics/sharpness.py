"""Are reconstructions as sharp as their images?"""

from collections.abc import Iterator

from torch import Tensor

from pmodel.capabilities import Reconstructs
from pmodel.evaluation.findings import Finding, Metric, Quantity
from pmodel.evaluation.subject import Subject
from pmodel.metrics.likelihood import estimate


def sharpness(x: Tensor) -> Tensor:
    """The mean absolute difference of neighbours in a row, of images (B, C, H, W) → (B,)."""
    return x.diff(dim=3).abs().flatten(1).mean(1)


class Sharpness(Metric):
    """The sharpness of x̂ less that of x, then the mean over the examples of the split."""

    group = "reconstruction"
    question = Reconstructs
    quantities = (Quantity("sharpness_gap", "Below 0 where reconstructions are blurred.", ideal=0.0),)

    def measure(self, subject: Subject) -> Iterator[Finding]:
        model = subject.model
        gaps = subject.over(lambda x, _: sharpness(model.reconstruct(x)) - sharpness(x), subject.examples.x)
        yield self.number(subject, "sharpness_gap", *estimate(gaps))
