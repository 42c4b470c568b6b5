"""Likelihoods and bounds: means over examples with their standard errors, in nats; and the conversion to bits/dim."""

import math
from typing import NamedTuple

from torch import Tensor


class Mean(NamedTuple):
    """A mean over examples, its standard error, and the count of examples."""

    mean: float
    standard_error: float
    count: int


def estimate(values: Tensor) -> Mean:
    """The mean of one number per example (N,), in float64."""
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Mean(values.mean().item(), error, len(values))


def bits_per_dim(nats: float, num_dims: int) -> float:
    """Bits per dimension of a log-probability or bound of `nats` per example: −nats / (D ln 2).

    Only probabilities of levels have it; a density in nats depends on the unit of x.
    """
    return -nats / (num_dims * math.log(2))
