"""What exact likelihoods, bounds and estimates share: nats per example, bits/dim of levels, and caveats."""

import math
from typing import Any

from pmodel.capabilities import ContinuousDensity
from pmodel.evaluation.subject import Subject
from pmodel.metrics.likelihood import Mean, bits_per_dim
from pmodel.runs.results import Number

UNBOUNDED = "a density of data on levels has no bound; data.dequantize=true gives numbers that compare"
DECIDED = "model.reg_covar decides the density, not the data"
# What a model with a good value of these numbers is good at.
LIKELIHOOD = "likelihood of unseen examples"
STOPPED = "parameters from before the fit had converged; best.ckpt follows val/nll where there are validation examples"


class Nats:
    """What metrics have whose numbers are means of −log p(x), or of what stands for it, over examples of the split."""

    group = "likelihood"
    unit = "nats"
    better = "lower"

    def nats(
        self,
        subject: Subject,
        name: str,
        found: Mean,
        bits: bool,
        protocol: dict[str, Any],
        caveats: list[str],
        remark: str | None = None,
    ) -> Number:
        """The number of a mean log-probability, `found`; with bits/dim, if `bits`."""
        rest = {"protocol": protocol, "caveats": caveats or None, "remark": remark}
        rest["bits_per_dim"] = bits_per_dim(found.mean, math.prod(subject.data.shape)) if bits else None
        return self.number(subject, name, -found.mean, *found[1:], **rest)

    def of_levels(
        self, subject: Subject, name: str, density: Mean, protocol: dict[str, Any], caveats: list[str]
    ) -> Number:
        """What the density of dequantized examples says at most about −log p of their levels: a level is a cell of
        volume L^−D."""
        cell = math.prod(subject.data.shape) * math.log(subject.data.source_levels)
        return self.nats(subject, name, density._replace(mean=density.mean - cell), True, protocol, caveats)


def is_continuous(subject: Subject) -> bool:
    """Whether what the model says of the data is a density, and not a probability of levels."""
    model = subject.model
    return subject.data.num_levels is None or (isinstance(model, ContinuousDensity) and model.continuous_density)


def caveats_of(subject: Subject, continuous: bool, regularized: float, found: Mean | None = None) -> list[str]:
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
