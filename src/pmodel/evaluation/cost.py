"""What a model costs."""

from collections.abc import Iterator
from typing import ClassVar

from pmodel.capabilities import Samples
from pmodel.evaluation.findings import Finding, Metric
from pmodel.evaluation.subject import Subject
from pmodel.runs.results import Group

TRAINING, TIME = "training time", "time per sample"


class Cost(Metric):
    """The number of parameters, the time that the training took, and the time per sample when 500 are drawn at once.

    Times are the only numbers that differ between two evaluations of a run.
    """

    group: ClassVar[Group] = "cost"
    meanings: ClassVar[dict[str, str]] = {
        "parameters": "Trainable ones; of models without a gradient, the numbers that a fit chooses.",
        "training time": "Seconds of training, without validation, figures and checkpoints.",
        "time per sample": "When 500 are drawn at once: the median over such draws.",
    }

    def measure(self, subject: Subject) -> Iterator[Finding]:
        model = subject.model
        yield {"name": "parameters", "value": model.num_parameters, "unit": "", "group": self.group}
        training = next((number for number in subject.about_training if number["name"] == TRAINING), None)
        if training is None:
            yield from self.missing("the run left no results.json that has it", TRAINING)
        else:
            yield {**training, "group": self.group, "better": "lower"}
        if not isinstance(model, Samples):
            yield from self.missing("the model has no sample", TIME)
            return
        subject.samples(subject.PART)
        yield {
            "name": TIME,
            "value": 1000 * subject.seconds_per_sample,
            "unit": "ms",
            "group": self.group,
            "better": "lower",
            "protocol": {"batch_size": subject.PART, "device": subject.group.device.type},
        }
