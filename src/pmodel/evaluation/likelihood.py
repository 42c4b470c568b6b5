"""Likelihoods: exact ones and bounds, each under a name of its own."""

import math
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor

from pmodel.capabilities import ImportanceBound, LogProb, LowerBound, MaximizesLikelihood, SamplesClasses
from pmodel.evaluation.draws import SEED
from pmodel.evaluation.findings import Finding, Metric, Quantity
from pmodel.evaluation.nats import LIKELIHOOD, Nats, caveats_of, is_continuous
from pmodel.evaluation.subject import Subject
from pmodel.metrics.likelihood import Mean, estimate
from pmodel.processes.bar import Bar
from pmodel.runs.results import Curve, Number
from pmodel.settings.ranges import Count, Positive

# Examples whose bound is taken at once: the model bounds its own memory over the samples of each.
PART = 100
# The numbers of samples at which the bound is drawn, besides the largest.
CURVE = (1, 5, 50)

EXACT, DENSITY = "negative_log_likelihood", "negative_log_density"
OF_LEVELS = "negative_log_likelihood_of_levels"
CRITERIA = ("bic", "aic")


def bound_name(k: int, continuous: bool) -> str:
    """The name of the bound with k samples, of the probability of levels or of a density."""
    name = "negative_elbo" if k == 1 else "negative_importance_weighted_bound"
    return f"{name}_of_density" if continuous else name


class Likelihood(Nats, Metric):
    """−log p(x), in nats per example: exact, as a density, or bounded from above; the mean over all examples of the
    split with its standard error, and bits/dim where x is on levels.

    - models with a `log_prob`: the exact negative log-likelihood of levels, or the negative log-density of continuous
      x; where the data were dequantized, also the bound on that of the levels (Theis et al.: A note on the evaluation
      of generative models, 2015, arXiv 1511.01844, section 3.1)
    - models with an `elbo`: the negative importance-weighted bound with `num_samples` samples (Burda et al., 2015,
      arXiv 1509.00519), beside it the same with one sample, the negative ELBO, and a curve of the bound over their
      number; those of a density have other names
    - models that maximize the likelihood: BIC (Schwarz: Estimating the Dimension of a Model, 1978) and AIC (Akaike: A
      New Look at the Statistical Model Identification, 1974) of the training examples

    Densities of data that lie on levels have a caveat, and so have those that a regularizer decides: a tenth of it
    would change them by more than their standard error.

    Args:
        num_samples: K, of the tightest bound.
        num_examples: of the split, for the bounds; None: all.
        seconds: that the bounds may take, roughly; where it is too little, only some examples are measured.
    """

    quantities = (
        Quantity(
            EXACT,
            "The mean of −log p(x) over the examples, exact: how improbable the model finds images that it has never "
            "seen.",
            "negative log-likelihood",
            question=LogProb,
            kind="exact",
            skill=LIKELIHOOD,
        ),
        Quantity(
            DENSITY,
            "The mean of −log p(x) of a density, which depends on the unit of x and compares with no probability.",
            "negative log-density",
            question=LogProb,
            kind="exact",
            skill=LIKELIHOOD,
        ),
        Quantity(
            OF_LEVELS,
            "What a density says at most about −log p of the levels, from examples with uniform noise added.",
            "negative log-likelihood of levels",
            question=LogProb | LowerBound,
            kind="bound",
            skill=LIKELIHOOD,
        ),
        *(
            Quantity(
                bound_name(2, continuous),
                "An upper bound on −log p(x) from K weighted samples of the code; it tightens as K grows.",
                f"negative importance-weighted bound (K = {{num_samples}}){', of a density' * continuous}",
                question=ImportanceBound,
                kind="bound",
                skill=LIKELIHOOD,
            )
            for continuous in (False, True)
        ),
        *(
            Quantity(
                bound_name(1, continuous),
                "The negative evidence lower bound: −log p(x) is at most that high; the importance-weighted bound with "
                "one sample of the code.",
                f"negative ELBO{', of a density' * continuous}",
                question=LowerBound,
                kind="bound",
                skill=LIKELIHOOD,
            )
            for continuous in (False, True)
        ),
        Quantity(
            "bic",
            "The Bayesian information criterion of the training examples, −2 log-likelihood + parameters · ln N: to "
            "choose among fits to the same data, and no quality across data.",
            "BIC",
            unit="",
            question=MaximizesLikelihood,
        ),
        Quantity(
            "aic",
            "Akaike's information criterion of the training examples, −2 log-likelihood + 2 · parameters: likewise.",
            "AIC",
            unit="",
            question=MaximizesLikelihood,
        ),
    )

    def __init__(self, num_samples: Count, num_examples: Count | None, seconds: Positive | None):
        self.num_samples, self.num_examples, self.seconds = num_samples, num_examples, seconds

    def asked(self, subject: Subject) -> list[Quantity]:
        left_out = {bound_name(2, continuous) for continuous in (False, True) if self.num_samples == 1}
        left_out |= set() if getattr(subject.data, "dequantize", False) else {OF_LEVELS}
        return [part for part in self.quantities if part.name not in left_out]

    def lack(self, question: Any, model: Any) -> str:
        if question is MaximizesLikelihood:
            return "the model has no fit of greatest likelihood"
        if question is ImportanceBound and not isinstance(model, LowerBound):
            question = LowerBound
        reason = super().lack(question, model)
        return f"{reason}, only a bound" if question is LogProb and isinstance(model, LowerBound) else reason

    def measure(self, subject: Subject) -> Iterator[Finding]:
        data, model, continuous = subject.data, subject.model, is_continuous(subject)
        regularized = model.regularized_nats() if isinstance(model, MaximizesLikelihood) else 0.0
        own, other = (DENSITY, EXACT) if continuous else (EXACT, DENSITY)
        levels = "a probability of levels, not a density"
        kind = "a density of continuous values, not a probability of levels" if continuous else levels
        of_levels = [OF_LEVELS] if getattr(data, "dequantize", False) else []
        if isinstance(model, LogProb):
            yield from self.missing(f"its log_prob is {kind}", other)
            if reason := getattr(model, "no_density", None):
                yield from self.missing(f"no density: {reason}", own, *of_levels)
            else:
                found = estimate(subject.log_densities(lambda x, _: model.log_prob(x), subject.lazily[0]))
                protocol = _conditional(model) | ({"regularized_nats": regularized} if regularized else {})
                caveats = caveats_of(subject, continuous, regularized, found)
                yield self.nats(subject, own, found, not continuous, protocol, caveats)
                if of_levels:
                    yield self.of_levels(subject, OF_LEVELS, found, protocol, caveats)
        if isinstance(model, LowerBound):
            tightens = isinstance(model, ImportanceBound)
            yield from self._bounds(subject, continuous, self.num_samples if tightens else 1)
            ks = dict.fromkeys([1, self.num_samples] if tightens else [1])
            yield from self.missing(f"its elbo bounds {kind}", *(bound_name(k, not continuous) for k in ks))
        if isinstance(model, MaximizesLikelihood):
            yield from self._criteria(subject, regularized)

    def _bounds(self, subject: Subject, continuous: bool, most: int) -> Iterator[Finding]:
        """The bounds with `most` samples and with one, and the curve between them."""
        x = subject.lazily[0][: self.num_examples]
        ks = sorted({*(k for k in CURVE if k < most), 1, most})
        if self.seconds is not None:
            x = x[: _affordable(subject, x, sum(ks), self.seconds)]
        what = f"bounding log p(x) of {len(x):,} {subject.split} examples with {most} samples of z each"
        found: dict[int, Mean] = {}
        with Bar(sum(ks) * len(x), what) as bar:
            for k in ks:

                def bound(part: Tensor, noise: Any, k: int = k) -> Tensor:
                    value = _bound_with(subject.model, k, part, noise)
                    bar.update(k * len(part))
                    return value

                found[k] = estimate(subject.log_densities(bound, x, PART, None))
        for k in dict.fromkeys([most, 1]):
            protocol = {"num_samples": k, "noise_seed": SEED}
            name, caveats = bound_name(k, continuous), caveats_of(subject, continuous, 0.0, found[k])
            remark = None if k == most else f"the bound with K = {k}"
            yield self.nats(subject, name, found[k], not continuous, protocol, caveats, remark)
        if getattr(subject.data, "dequantize", False) and not isinstance(subject.model, LogProb):
            yield self.of_levels(subject, OF_LEVELS, found[most], {"num_samples": most, "noise_seed": SEED}, [])
        if len(found) > 1:
            yield Curve(
                "bound_of_density_over_num_samples" if continuous else "bound_over_num_samples",
                f"upper bound on −log p(x){', a density,' if continuous else ''} over the number of samples",
                self.group,
                list(map(float, found)),
                [-f.mean for f in found.values()],
                [f.standard_error for f in found.values()],
                "samples of z, K",
                "nats",
                log_x=True,
            )

    def _criteria(self, subject: Subject, regularized: float) -> Iterator[Number]:
        """BIC and AIC of the training examples: −2 times the log-likelihood of all, and a price for each parameter."""
        model, x = subject.model, subject.training_lazily[0]
        deviance = -2 * subject.log_densities(lambda part, _: model.log_prob(part), x).double().sum().item()
        protocol = {"num_parameters": model.num_parameters, "converged": model.converged}
        protocol |= {"regularized_nats": regularized} if regularized else {}
        rest = {"split": "train", "protocol": protocol, "caveats": caveats_of(subject, True, regularized) or None}
        for name, price in zip(CRITERIA, (math.log(len(x)), 2.0), strict=True):
            yield self.number(subject, name, deviance + price * model.num_parameters, count=len(x), **rest)


def _conditional(model: Any) -> dict[str, Any]:
    """How a class-conditional model has a log p(x): by the sum over all labels."""
    num_classes = getattr(model, "num_classes", None)
    is_told = isinstance(model, SamplesClasses) and num_classes is not None
    return {"summed_over_labels": num_classes} if is_told else {}


def _affordable(subject: Subject, x: Tensor, num_samples: int, seconds: float) -> int:
    """Of how many of x (N, …) the bound can be taken in so many seconds, with `num_samples` samples each; at least 10.

    A few are measured with more and more samples, until that takes long enough to tell; the first time is longer.
    """
    few, k = x[:10], 1
    while True:
        begin = time.perf_counter()
        subject.over(partial(_bound_with, subject.model, k), few, what=None)
        taken = time.perf_counter() - begin
        if (k > 1 and taken > seconds / 40) or 2 * k > num_samples or not isinstance(subject.model, ImportanceBound):
            break
        k *= 2
    most = seconds / taken * len(few) * k / num_samples
    return len(x) if most >= len(x) else max(min(10, len(x)), int(most))


def _bound_with(model: LowerBound, k: int, x: Tensor, noise: Any) -> Tensor:
    return model.elbo(x, generator=noise) if k == 1 else model.importance_bound(x, k, generator=noise)
