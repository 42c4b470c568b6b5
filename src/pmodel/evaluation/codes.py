"""What codes, and classifiers, know about labels."""

from collections.abc import Iterator

from pmodel.capabilities import Classifies, Encodes
from pmodel.evaluation.findings import Finding, Metric, Quantity, without_labels
from pmodel.evaluation.subject import Subject
from pmodel.metrics.errors import share_error
from pmodel.metrics.likelihood import estimate
from pmodel.metrics.probe import linear_probe
from pmodel.settings.ranges import Two


class LinearProbe(Metric):
    """Accuracy on the split of a logistic regression from a model's codes to labels, fitted on training examples.

    Args:
        num_train: the first so many training examples; None: all.
    """

    group = "codes"
    question = Encodes
    better = "higher"
    quantities = (
        Quantity(
            "linear_probe_accuracy",
            "How well a linear classifier on the codes finds the labels, which the model was never told.",
            skill="codes that tell the labels",
        ),
    )

    def __init__(self, num_train: Two | None):
        self.num_train = num_train

    def measure(self, subject: Subject) -> Iterator[Finding]:
        name, model = "linear_probe_accuracy", subject.model
        train = subject.training_examples
        x, label = train.x[: self.num_train], train.label[: self.num_train]
        if isinstance(model, Classifies):
            yield from self.missing("the model was told the labels", name)
        elif subject.split == "train":
            yield from self.missing("split=train: the probe is fitted on these examples", name)
        elif reason := without_labels(label, subject.examples.label):
            yield from self.missing(reason, name)
        elif len(label.unique()) < 2:
            yield from self.missing("the training examples are all of one class", name)
        else:
            codes = [subject.over(lambda part, _: model.encode(part), part) for part in (x, subject.examples.x)]
            value = linear_probe(codes[0], label, codes[1], subject.examples.label)
            own = {"num_train": len(x), "code_dim": codes[0].shape[1], "error_by": "binomial"}
            yield self.number(subject, name, value, share_error(value, len(codes[1])), protocol=own)


class Classification(Metric):
    """The share of the split's examples whose most probable label is right."""

    group = "codes"
    question = Classifies
    better = "higher"
    quantities = (
        Quantity("accuracy", "The share of examples whose most probable label is right.", skill="naming the label"),
    )

    def measure(self, subject: Subject) -> Iterator[Finding]:
        model = subject.model
        x, label = subject.examples
        if reason := without_labels(label):
            yield from self.missing(reason, "accuracy")
        else:
            right = subject.over(lambda part, _: model.classify(part).argmax(1), x) == label
            yield self.number(subject, "accuracy", *estimate(right))
