"""What a metric declares and gives: numbers, each with its protocol; curves; and for what it can't give, the reason."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from torch import Tensor

from pmodel.evaluation.subject import Subject, data_protocol
from pmodel.runs.results import Curve, Group, Missing, Number
from pmodel.settings.checked import check_arguments


class Reference(NamedTuple):
    """A number that real training examples have in the place of samples."""

    number: Number


Finding = Number | Missing | Curve | Reference


@dataclass(frozen=True)
class Quantity:
    """A number, declared once: files, tables, pages and docs read it here.

    name: its key in files, an identifier
    meaning: a sentence to a reader who sees the number for the first time
    label: its words, "": those of the name; "{num_samples}" stands for that setting of the metric
    unit, question, better: None: what its metric says of all
    ideal, least, kind, skill: as in `Number`
    """

    name: str
    meaning: str
    label: str = ""
    unit: str | None = None
    question: Any = None
    better: Literal["lower", "higher"] | None = None
    ideal: float | None = None
    least: float | None = None
    kind: Literal["exact", "bound", "estimate"] | None = None
    skill: str | None = None


class Metric(ABC):
    """Something that models are asked.

    group: the part of the table in which its numbers stand
    quantities: the numbers that it may give
    unit, better: of all that have none of their own; `better` as in `Number`
    question: the protocol of `pmodel.capabilities` that a model must answer for them; None: every model has them
    """

    group: ClassVar[Group]
    quantities: ClassVar[tuple[Quantity, ...]]
    unit: ClassVar[str] = "of 1"
    question: ClassVar[Any] = None
    better: ClassVar[Literal["lower", "higher"] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.quantities = tuple(
            replace(
                part,
                label=part.label or part.name.replace("_", " "),
                unit=cls.unit if part.unit is None else part.unit,
                question=part.question or cls.question,
                better=part.better or cls.better,
            )
            for part in cls.quantities
        )
        check_arguments(cls, cls.__name__)

    def ask(self, subject: Subject) -> Iterator[Finding]:
        """The numbers of a model, and the reasons for those that it does not have."""
        asked = self.asked(subject)
        answered = [part for part in asked if part.question is None or isinstance(subject.model, part.question)]
        for part in asked:
            if part not in answered:
                yield from self.missing(self.lack(part.question, subject.model), part.name)
        if answered:
            yield from self.measure(subject)

    def asked(self, subject: Subject) -> list[Quantity]:
        """The quantities that there are of the subject's data."""
        return list(self.quantities)

    def lack(self, question: Any, model: Any) -> str:
        """Why a model has no number whose question it does not answer."""
        first = (get_args(question) or (question,))[0]
        return f"the model has no {next(name for name in vars(first) if not name.startswith('_'))}"

    @abstractmethod
    def measure(self, subject: Subject) -> Iterator[Finding]:
        """The numbers of a model that answers at least one of the questions, or the reasons why it has none."""

    def missing(self, reason: str, *names: str) -> Iterator[Missing]:
        """The same reason for several numbers."""
        for name in names:
            yield Missing(name, self.label(name), self.group, reason)

    def label(self, name: str) -> str:
        """The words for a number of that name."""
        return self._declared(name).label.format_map(vars(self))

    def plain_number(self, name: str, value: float, **rest: Any) -> Number:
        """A number with what is declared of it, and the entries in `rest` that are not None."""
        part = self._declared(name)
        own = {"name": name, "label": self.label(name), "value": value, "unit": part.unit, "group": self.group}
        own |= {key: getattr(part, key) for key in ("better", "ideal", "least", "kind", "skill")} | rest
        return {key: entry for key, entry in own.items() if entry is not None}

    def number(
        self, subject: Subject, name: str, value: float, error: float = math.nan, count: int | None = None, **rest: Any
    ) -> Number:
        """A number over `count` examples of the split, all by default, with its protocol: what its data say, and the
        entries of `protocol` in `rest`. A standard error that is not finite is left out."""
        rest = {
            "split": subject.split,
            "count": len(subject.lazily[1]) if count is None else count,
            "standard_error": error if math.isfinite(error) else None,
        } | rest
        protocol = data_protocol(subject.data) | subject.answer | rest.get("protocol", {})
        return self.plain_number(name, value, **rest | {"protocol": protocol})

    def _declared(self, name: str) -> Quantity:
        return next(part for part in self.quantities if part.name == name)


def without_labels(*labels: Tensor) -> str | None:
    """Why there is no comparison with labels (N,), −1 for none: how many have one. None if all do."""
    labelled, total = sum(int((label >= 0).sum()) for label in labels), sum(map(len, labels))
    if labelled == total:
        return None
    return f"only {labelled:,} of {total:,} examples have a label" if labelled else "the data have no labels"
