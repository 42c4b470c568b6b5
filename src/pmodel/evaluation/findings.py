"""What a metric gives: numbers, each with its protocol; curves; and for what it can't give, the reason."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from pmodel.evaluation.subject import Subject
from pmodel.runs.results import Curve, Group, Missing, Number
from pmodel.settings.checked import check_arguments


class Floor(NamedTuple):
    """A number that real training examples have in the place of samples."""

    number: Number


Finding = Number | Missing | Curve | Floor


class Metric(ABC):
    """Something that models are asked; which of them can answer is for the metric to say.

    group: the part of the table in which its numbers stand
    meanings: a sentence for each number, or for all whose names begin so, to a reader who sees it for the first time
    """

    group: ClassVar[Group]
    meanings: ClassVar[dict[str, str]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_arguments(cls, cls.__name__)

    @abstractmethod
    def measure(self, subject: Subject) -> Iterator[Finding]:
        """The numbers of a model, or the reasons why it has none."""

    def meaning(self, name: str) -> str | None:
        """The sentence for a number of that name; None if it is not one of this metric."""
        fitting = [start for start in self.meanings if name.startswith(start)]
        return self.meanings[max(fitting, key=len)] if fitting else None

    def missing(self, reason: str, *names: str) -> Iterator[Missing]:
        """The same reason for several numbers."""
        for name in names:
            yield Missing(name, self.group, reason)


def without_labels(*labels: Tensor) -> str | None:
    """Why there is no comparison with labels (N,), −1 for none: how many have one. None if all do."""
    labelled, total = sum(int((label >= 0).sum()) for label in labels), sum(map(len, labels))
    if labelled == total:
        return None
    return f"only {labelled:,} of {total:,} examples have a label" if labelled else "the data have no labels"
