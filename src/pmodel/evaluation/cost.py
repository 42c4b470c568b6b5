"""What a model costs."""

from collections.abc import Iterator

from pmodel.capabilities import Samples
from pmodel.evaluation.findings import Finding, Metric, Quantity
from pmodel.evaluation.subject import Subject


class Cost(Metric):
    """The number of parameters, the time that the training took, and the time per sample when 500 are drawn at once.

    Times are the only numbers that differ between two evaluations of a run.
    """

    group = "cost"
    quantities = (
        Quantity(
            "parameters", "Trainable ones; of models without a gradient, the numbers that a fit chooses.", unit=""
        ),
        Quantity(
            "training_time",
            "Seconds of training, without validation, figures and checkpoints.",
            unit="seconds",
            better="lower",
        ),
        Quantity(
            "time_per_sample",
            "When 500 are drawn at once: the median over such draws.",
            unit="ms",
            question=Samples,
            better="lower",
        ),
    )

    def measure(self, subject: Subject) -> Iterator[Finding]:
        yield self.plain_number("parameters", subject.model.num_parameters)
        training = next((number for number in subject.about_training if number["name"] == "training_time"), None)
        if training is None:
            yield from self.missing("the run left no results.json that has it", "training_time")
        else:
            rest = {key: training[key] for key in ("unit", "protocol") if key in training}
            yield self.plain_number("training_time", training["value"], **rest)
        if isinstance(subject.model, Samples):
            subject.samples(subject.PART)
            drawn = {"batch_size": subject.PART, "device": subject.group.device.type}
            yield self.plain_number("time_per_sample", 1000 * subject.seconds_per_sample, protocol=drawn)
