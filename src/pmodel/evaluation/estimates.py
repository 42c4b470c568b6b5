"""Estimates of log p(x) that are neither exact nor bounds, with the errors that the models give them."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from pmodel.capabilities import Estimate
from pmodel.evaluation.draws import SEED
from pmodel.evaluation.findings import Finding, Metric, Quantity
from pmodel.evaluation.nats import LIKELIHOOD, Nats, caveats_of, is_continuous
from pmodel.evaluation.subject import Subject
from pmodel.metrics.likelihood import estimate
from pmodel.settings.ranges import Count

EXACT, DENSITY = "negative_log_likelihood_estimate", "negative_log_density_estimate"
OF_LEVELS = "negative_log_likelihood_of_levels_estimate"


class LikelihoodEstimate(Nats, Metric):
    """−log p(x) of models that can only estimate it, in nats per example; the mean over the examples of the split.

    Where each example has noise of its own, that noise is part of the spread over examples, and so of the standard
    error. An error that all examples share, as that of a normalizing constant, is added to it in quadrature: no number
    of examples makes it smaller.

    Args:
        num_examples: of the split; None: all.
    """

    question = Estimate
    quantities = (
        Quantity(
            EXACT,
            "An estimate of −log p(x), neither exact nor a bound.",
            "negative log-likelihood, an estimate",
            kind="estimate",
            skill=LIKELIHOOD,
        ),
        Quantity(
            DENSITY,
            "An estimate of −log p(x), a density, neither exact nor a bound.",
            "negative log-density, an estimate",
            kind="estimate",
            skill=LIKELIHOOD,
        ),
        Quantity(
            OF_LEVELS,
            "An estimate of what a density says at most about −log p of the levels, from examples with uniform noise.",
            "negative log-likelihood of levels, an estimate",
            kind="estimate",
            skill=LIKELIHOOD,
        ),
    )

    def __init__(self, num_examples: Count | None):
        self.num_examples = num_examples

    def asked(self, subject: Subject) -> list[Quantity]:
        name = DENSITY if is_continuous(subject) else EXACT
        dequantized = getattr(subject.data, "dequantize", False)
        return [part for part in self.quantities if part.name == name or (part.name == OF_LEVELS and dequantized)]

    def measure(self, subject: Subject) -> Iterator[Finding]:
        def values_and_errors(x: Tensor, noise: Generator) -> Tensor:
            values, errors = subject.model.log_prob_estimate(x, generator=noise)
            own, shared = (errors, torch.zeros_like(values)) if errors.dim() else (0 * values, errors.expand_as(values))
            return torch.stack((values, own, shared), 1)

        x = subject.lazily[0][: self.num_examples]
        values, own, shared = subject.over(values_and_errors, x, what="estimating log p(x)").double().unbind(1)
        found = estimate(values - subject.data.log_volume)
        found = found._replace(standard_error=math.hypot(found.standard_error, shared.mean()))
        protocol = {"noise_seed": SEED, "error_of_one_estimate": (own + shared).mean().item()}
        continuous = is_continuous(subject)
        caveats = caveats_of(subject, continuous, 0.0, found)
        yield self.nats(subject, DENSITY if continuous else EXACT, found, not continuous, protocol, caveats)
        if getattr(subject.data, "dequantize", False):
            yield self.of_levels(subject, OF_LEVELS, found, protocol, [])
