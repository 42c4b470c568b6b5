"""The Parzen-window estimate, for models that can only sample."""

from collections.abc import Iterator

from pmodel.capabilities import Samples
from pmodel.evaluation.draws import SEED
from pmodel.evaluation.findings import Finding, Metric, Quantity
from pmodel.evaluation.subject import Subject
from pmodel.metrics.likelihood import estimate
from pmodel.metrics.parzen import choose_sigma, parzen_log_prob
from pmodel.settings.ranges import Count


class Parzen(Metric):
    """The Parzen-window estimate of a model's samples: the bandwidth is chosen on validation examples, the value is the
    mean log-density of the split's, not negated, as the papers have it.

    Where there are no validation examples, or these are evaluated themselves, one half of the split chooses and the
    other is evaluated.

    Args:
        num_samples: None: no such estimate.
    """

    group = "likelihood"
    question = Samples
    quantities = (
        Quantity(
            "parzen_window_estimate",
            "The log-density of examples under Gaussian kernels on samples: an estimate, and a poor judge.",
            "Parzen-window estimate",
            unit="nats",
            better="higher",
            kind="estimate",
        ),
    )

    def __init__(self, num_samples: Count | None):
        self.num_samples = num_samples

    def asked(self, subject: Subject) -> list[Quantity]:
        return [] if self.num_samples is None else super().asked(subject)

    def measure(self, subject: Subject) -> Iterator[Finding]:
        name, x = "parzen_window_estimate", subject.examples.x
        others = subject.data.examples("validation", len(x)).x if subject.split == "test" else x[:0]
        chosen_by = "validation"
        if len(others) == 0:
            if len(x) < 2:
                yield from self.missing("there are fewer than two examples", name)
                return
            others, x = x.chunk(2)
            chosen_by = f"the other half of the {subject.split} examples"
        samples = subject.samples(self.num_samples)
        sigma = choose_sigma(others, samples)
        mean, *rest = estimate(parzen_log_prob(x, samples, sigma))
        own = {"num_generated": self.num_samples, "noise_seed": SEED, "sigma": sigma, "sigma_chosen_on": chosen_by}
        yield self.number(subject, name, mean - subject.data.log_volume, *rest, protocol=own)
