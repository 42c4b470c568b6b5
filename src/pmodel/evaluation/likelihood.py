"""Likelihoods: exact ones, bounds, and Parzen windows; each under a name of its own."""

import math
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from pmodel.capabilities import (
    ContinuousDensity,
    ImportanceBound,
    LogProb,
    LowerBound,
    MaximizesLikelihood,
    Samples,
    SamplesClasses,
)
from pmodel.evaluation.findings import Finding, Metric
from pmodel.evaluation.subject import SEED, Subject
from pmodel.metrics.likelihood import Estimate, bits_per_dim, estimate
from pmodel.metrics.parzen import parzen_estimate
from pmodel.processes.bar import Bar
from pmodel.runs.results import Curve, Group, Number
from pmodel.settings.ranges import Count, Positive

# Examples whose bound is taken at once: the model bounds its own memory over the samples of each.
PART = 100
# The numbers of samples at which the bound is drawn, besides the largest.
CURVE = (1, 5, 50)

EXACT = "negative log-likelihood"
DENSITY = "negative log-density"
OF_LEVELS = "negative log-likelihood of levels"
ELBO = "negative ELBO"
CRITERIA = ("BIC", "AIC")
UNBOUNDED = "a density of data on levels has no bound; data.dequantize=true gives numbers that compare"
DECIDED = "model.reg_covar decides the density, not the data"
STOPPED = "parameters from before the fit had converged; best.ckpt follows val/nll where there are validation examples"


def bound_name(k: int, continuous: bool) -> str:
    """The name of the bound with k samples, of the probability of levels or of a density."""
    name = ELBO if k == 1 else f"negative importance-weighted bound (K = {k})"
    return f"{name}, of a density" if continuous else name


class Likelihood(Metric):
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

    group: ClassVar[Group] = "likelihood"
    meanings: ClassVar[dict[str, str]] = {
        "negative log-likelihood": (
            "The mean of −log p(x) over the examples, exact: how improbable the model finds images that it "
            "has never seen."
        ),
        "negative log-likelihood of levels": "What a density says at most about −log p of the levels, from examples "
        "with uniform noise added.",
        "negative log-density": (
            "The mean negative logarithm of a density, which depends on the unit of x and compares with no probability."
        ),
        "negative ELBO": (
            "The negative evidence lower bound: −log p(x) is at most that high; the importance-weighted bound "
            "with one sample of the code."
        ),
        "negative importance-weighted bound": "An upper bound on −log p(x) from K weighted samples of the code; it "
        "tightens as K grows.",
        "BIC": (
            "The Bayesian information criterion of the training examples, −2 log-likelihood + parameters · ln "
            "N: to choose among fits to the same data, and no quality across data."
        ),
        "AIC": "Akaike's information criterion of the training examples, −2 log-likelihood + 2 · parameters: likewise.",
    }

    def __init__(self, num_samples: Count, num_examples: Count | None, seconds: Positive | None):
        self.num_samples, self.num_examples, self.seconds = num_samples, num_examples, seconds

    def measure(self, subject: Subject) -> Iterator[Finding]:
        data, model = subject.data, subject.model
        continuous = data.num_levels is None or (isinstance(model, ContinuousDensity) and model.continuous_density)
        regularized = model.regularized_nats() if isinstance(model, MaximizesLikelihood) else 0.0
        of_levels = [OF_LEVELS] if getattr(data, "dequantize", False) else []
        own, other = (DENSITY, EXACT) if continuous else (EXACT, DENSITY)
        kind = "a density, which knows nothing of levels" if continuous else "of levels, no density"
        if isinstance(model, LogProb) and getattr(model, "no_density", None):
            yield from self.missing(f"no density: {model.no_density}", own, *of_levels)
            yield from self.missing(f"its log_prob is {kind}", other)
        elif isinstance(model, LogProb):
            found = estimate(subject.log_densities(lambda x, _: model.log_prob(x), subject.examples.x))
            protocol = _conditional(model) | ({"regularized_nats": regularized} if regularized else {})
            caveats = _caveats(subject, continuous, regularized, found)
            yield _number(subject, own, found, "exact", bits=not continuous, protocol=protocol, caveats=caveats)
            if of_levels:
                yield _of_levels(subject, found, protocol, caveats)
            yield from self.missing(f"its log_prob is {kind}", other)
        elif isinstance(model, LowerBound):
            yield from self.missing("the model has no log_prob, only a bound", EXACT, DENSITY)
        else:
            yield from self.missing("the model has no log_prob", EXACT, DENSITY, *of_levels)
        ks = dict.fromkeys([1, self.num_samples])
        if isinstance(model, LowerBound):
            yield from self._bounds(subject, continuous, self.num_samples if isinstance(model, ImportanceBound) else 1)
            yield from self.missing(f"its elbo is {kind}", *(bound_name(k, not continuous) for k in ks))
        else:
            # The names with "of a density" begin with these.
            yield from self.missing("the model has no elbo", *(bound_name(k, False) for k in ks))
        if isinstance(model, MaximizesLikelihood):
            yield from _criteria(subject, regularized)
        else:
            yield from self.missing("the model has no fit of greatest likelihood", *CRITERIA)

    def _bounds(self, subject: Subject, continuous: bool, most: int) -> Iterator[Finding]:
        """The bounds with `most` samples and with one, and the curve between them."""
        x = subject.examples.x[: self.num_examples]
        ks = sorted({*(k for k in CURVE if k < most), 1, most})
        if self.seconds is not None:
            x = x[: _affordable(subject, x, sum(ks), self.seconds)]
        what = f"bounding log p(x) of {len(x):,} {subject.split} examples with {most} samples of z each"
        found: dict[int, Estimate] = {}
        with Bar(sum(ks) * len(x), what) as bar:
            for k in ks:

                def bound(part: Tensor, noise: Any, k: int = k) -> Tensor:
                    value = _bound_with(subject.model, k, part, noise)
                    bar.update(k * len(part))
                    return value

                found[k] = estimate(subject.log_densities(bound, x, PART, None))
        for k in dict.fromkeys([most, 1]):
            protocol = {"num_samples": k, "noise_seed": SEED}
            name, caveats = bound_name(k, continuous), _caveats(subject, continuous, 0.0, found[k])
            number = _number(subject, name, found[k], "bound", not continuous, protocol, caveats)
            yield number if k == most else {**number, "remark": f"the bound with K = {k}"}
        if getattr(subject.data, "dequantize", False):
            protocol = {"num_samples": most, "noise_seed": SEED}
            yield _of_levels(subject, found[most], protocol, [])
        if len(found) > 1:
            yield Curve(
                f"upper bound on −log p(x){', a density,' if continuous else ''} over the number of samples",
                list(map(float, found)),
                [-f.mean for f in found.values()],
                [f.standard_error for f in found.values()],
                "samples of z, K",
                "nats",
                log_x=True,
            )


def _caveats(subject: Subject, continuous: bool, regularized: float, found: Estimate | None = None) -> list[str]:
    """Why a log-density, as found or of the training examples, is no quality of its model.

    regularized: by how many nats per training example a tenth of the model's regularizer would raise it
    """
    reasons = []
    if continuous and subject.data.num_levels is not None:
        reasons.append(UNBOUNDED)
    # Half a hundredth of a nat shows in no number.
    elif regularized > max(0.005, 0.0 if found is None or math.isnan(found.standard_error) else found.standard_error):
        reasons.append(DECIDED)
    if (found is None or subject.split == "train") and not getattr(subject.model, "converged", True):
        reasons.append(STOPPED)
    return reasons


def _criteria(subject: Subject, regularized: float) -> Iterator[Number]:
    """BIC and AIC of the training examples: −2 times the log-likelihood of all, and a price for each parameter."""
    model, x = subject.model, subject.training_examples.x
    deviance = -2 * subject.log_densities(lambda part, _: model.log_prob(part), x).double().sum().item()
    protocol = {"num_parameters": model.num_parameters, "converged": model.converged}
    protocol |= {"regularized_nats": regularized} if regularized else {}
    caveats = _caveats(subject, True, regularized)
    rest: dict[str, Any] = {"split": "train", "better": "lower", "protocol": protocol}
    rest |= {"caveats": caveats} if caveats else {}
    for name, price in zip(CRITERIA, (math.log(len(x)), 2.0), strict=True):
        yield subject.number(name, deviance + price * model.num_parameters, "", "likelihood", len(x), **rest)


def _of_levels(subject: Subject, density: Estimate, protocol: dict[str, Any], caveats: list[str]) -> Number:
    """What the density of dequantized examples says at most about −log p of their levels: a level is a cell of volume
    L^−D."""
    cell = math.prod(subject.data.shape) * math.log(subject.data.source_levels)
    return _number(subject, OF_LEVELS, density._replace(mean=density.mean - cell), "bound", True, protocol, caveats)


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


class Parzen(Metric):
    """The Parzen-window estimate of a model's samples: the bandwidth is chosen on validation examples, the value is the
    mean log-density of the split's.

    Where there are no validation examples, or these are judged themselves, one half of the split chooses and the other
    is judged.

    Args:
        num_samples: None: no such estimate.
    """

    group: ClassVar[Group] = "likelihood"
    meanings: ClassVar[dict[str, str]] = {
        "Parzen-window estimate": "The log-density of examples under Gaussian kernels on samples: an estimate, and a "
        "poor judge.",
    }

    def __init__(self, num_samples: Count | None):
        self.num_samples = num_samples

    def measure(self, subject: Subject) -> Iterator[Finding]:
        if self.num_samples is None:
            return
        name = "Parzen-window estimate"
        if not isinstance(subject.model, Samples):
            yield from self.missing("the model has no sample", name)
            return
        x = subject.examples.x
        others = subject.data.examples("validation", len(x)).x if subject.split == "test" else x[:0]
        chosen_by = "validation"
        if len(others) == 0:
            if len(x) < 2:
                yield from self.missing("there are fewer than two examples", name)
                return
            others, x = x.chunk(2)
            chosen_by = f"the other half of the {subject.split} examples"
        found, sigma = parzen_estimate(subject.samples(self.num_samples), others, x)
        found = found._replace(mean=found.mean - subject.data.log_volume)
        own = {"num_generated": self.num_samples, "noise_seed": SEED, "sigma": sigma, "sigma_chosen_on": chosen_by}
        number = _number(subject, name, found, "estimate", bits=False, protocol=own)
        # As the papers have it: of the log-density itself.
        yield {**number, "value": found.mean, "better": "higher"}


def _number(
    subject: Subject,
    name: str,
    found: Estimate,
    kind: str,
    bits: bool,
    protocol: dict[str, Any] | None = None,
    caveats: list[str] | None = None,
) -> Number:
    rest: dict[str, Any] = {"kind": kind, "better": "lower", "protocol": protocol or {}}
    if caveats:
        rest["caveats"] = caveats
    if not math.isnan(found.standard_error):
        rest["standard_error"] = found.standard_error
    if bits:
        rest["bits_per_dim"] = bits_per_dim(found.mean, math.prod(subject.data.shape))
    return subject.number(name, -found.mean, "nats", "likelihood", found.count, **rest)
