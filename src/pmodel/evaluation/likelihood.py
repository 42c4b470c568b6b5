"""Likelihoods: exact ones, bounds, and Parzen windows; each under a name of its own."""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from pmodel.capabilities import LogProb, LowerBound, Samples
from pmodel.evaluation.findings import Finding, Metric
from pmodel.evaluation.subject import SEED, Subject
from pmodel.metrics.likelihood import Estimate, bits_per_dim, estimate
from pmodel.metrics.parzen import parzen_estimate
from pmodel.reporting.results import Curve, Group, Number

# Examples whose bound is taken at once: the model bounds its own memory over the samples of each.
PART = 100
# The numbers of samples at which the bound is drawn, besides the largest.
CURVE = (1, 5, 50)

EXACT = "negative log-likelihood"
DENSITY = "negative log-density"
OF_LEVELS = "negative log-likelihood of levels"
ELBO = "negative ELBO"


def importance_weighted(k: int) -> str:
    """The name of the bound with k samples."""
    return f"negative importance-weighted bound (K = {k})"


class Likelihood(Metric):
    """−log p(x), in nats per example: exact, as a density, or bounded from above; the mean over all examples of the
    split with its standard error, and bits/dim where x is on levels.

    - models with a `log_prob`: the exact negative log-likelihood of levels, or the negative log-density of continuous
      x; where the data were dequantized, also the bound on that of the levels (Theis et al.: A note on the evaluation
      of generative models, 2015, arXiv 1511.01844, section 3.1)
    - models with an `elbo`: the negative ELBO, the negative importance-weighted bound with `num_samples` samples (Burda
      et al., 2015, arXiv 1509.00519), and a curve of the bound over their number

    Args:
        num_samples: K, of the tightest bound.
        num_examples: of the split, for the bounds; None: all.
    """

    group: ClassVar[Group] = "likelihood"

    def __init__(self, num_samples: int = 500, num_examples: int | None = None):
        if num_samples < 1:
            raise ValueError(f"metric.likelihood.num_samples={num_samples}: expected at least 1")
        if num_examples is not None and num_examples < 1:
            raise ValueError(f"metric.likelihood.num_examples={num_examples}: expected at least 1, or null")
        self.num_samples, self.num_examples = num_samples, num_examples

    def measure(self, subject: Subject) -> Iterator[Finding]:
        data, model = subject.data, subject.model
        continuous = data.num_levels is None or getattr(model, "continuous_density", False)
        if isinstance(model, LogProb):
            exact = DENSITY if continuous else EXACT
            yield from (
                self.missing("its log_prob is a density, which knows nothing of levels", EXACT)
                if continuous
                else self.missing("its log_prob is of levels, no density", DENSITY)
            )
            found = estimate(subject.over(lambda x, _: model.log_prob(x), subject.examples.x))
            yield _number(subject, exact, found, "exact", bits=not continuous)
            if getattr(data, "dequantize", False):
                # A level is a cell of volume L^−D.
                cell = math.prod(data.shape) * math.log(data.source_levels)
                bound = found._replace(mean=found.mean - cell)
                yield _number(subject, OF_LEVELS, bound, "bound", bits=True)
        else:
            of_levels = [OF_LEVELS] if getattr(data, "dequantize", False) else []
            yield from self.missing("the model has no log_prob", EXACT, DENSITY, *of_levels)
        if isinstance(model, LowerBound):
            yield from self._bounds(subject)
        else:
            yield from self.missing("the model has no elbo", ELBO, importance_weighted(self.num_samples))

    def _bounds(self, subject: Subject) -> Iterator[Finding]:
        x = subject.examples.x[: self.num_examples]
        bits = subject.data.num_levels is not None
        found: dict[int, Estimate] = {}
        for k in sorted({*(k for k in CURVE if k < self.num_samples), 1, self.num_samples}):
            found[k] = estimate(subject.over(lambda part, noise, k=k: _bound(subject.model, part, k, noise), x, PART))
        for k in dict.fromkeys([1, self.num_samples]):
            name = ELBO if k == 1 else importance_weighted(k)
            own = {"num_samples": k, "noise_seed": SEED}
            yield _number(subject, name, found[k], "bound", bits, own)
        if len(found) > 1:
            means, errors = [-f.mean for f in found.values()], [f.standard_error for f in found.values()]
            yield Curve(
                "upper bound on −log p(x) over the number of samples",
                list(map(float, found)),
                means,
                errors,
                "samples of z, K",
                "nats",
                log_x=True,
            )


def _bound(model: LowerBound, x: Tensor, k: int, noise: Any) -> Tensor:
    return model.elbo(x, k, generator=noise)


class Parzen(Metric):
    """The Parzen-window estimate of a model's samples: the bandwidth is chosen on validation examples, the value is the
    mean log-density of the split's.

    Where there are no validation examples, or these are judged themselves, one half of the split chooses and the other
    is judged.

    Args:
        num_samples: None: no such estimate.
    """

    group: ClassVar[Group] = "likelihood"

    def __init__(self, num_samples: int | None = None):
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"metric.parzen.num_samples={num_samples}: expected at least 1, or null")
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
        own = {"num_generated": self.num_samples, "noise_seed": SEED, "sigma": sigma, "sigma_chosen_on": chosen_by}
        number = _number(subject, name, found, "estimate", bits=False, protocol=own)
        # As the papers have it: of the log-density itself.
        yield {**number, "value": found.mean, "better": "higher"}


def _number(
    subject: Subject, name: str, found: Estimate, kind: str, bits: bool, protocol: dict[str, Any] | None = None
) -> Number:
    rest: dict[str, Any] = {"kind": kind, "better": "lower", "protocol": protocol or {}}
    if not math.isnan(found.standard_error):
        rest["standard_error"] = found.standard_error
    if bits:
        rest["bits_per_dim"] = bits_per_dim(found.mean, math.prod(subject.data.shape))
    return subject.number(name, -found.mean, "nats", "likelihood", found.count, **rest)
