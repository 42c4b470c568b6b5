"""Whether samples are nearer to training examples than other examples are."""

import math

import torch
from torch import Tensor


def copying(sample_distances: Tensor, test_distances: Tensor) -> float:
    """P(d(sample) < d(test)) + ½ P(d(sample) = d(test)) over all pairs, d being the distance to the nearest training
    example: the Mann-Whitney statistic of Meehan, Chaudhuri, Dasgupta (A non-parametric test to detect data-copying in
    generative models, 2020, arXiv 2004.05675), as a share.

    ½ where samples (N,) are as far from the training examples as test examples (M,) are, 1 where all are copies, below
    ½ where they are farther (underfitting). The paper tests in each cell of a partition of the space, and averages
    z-scores; this has one cell, so copies in one place and strays in another cancel. NaN where a distance is not finite
    or there are none.
    """
    samples, test = _flat(sample_distances, test_distances)
    if not (len(samples) and len(test) and samples.isfinite().all() and test.isfinite().all()):
        return math.nan
    return _farther(samples, test).sum().item() / (2 * len(samples) * len(test))


def copying_error(sample_distances: Tensor, test_distances: Tensor) -> float:
    """The standard error of `copying` over fresh samples and fresh test examples, the training examples being what they
    are: from the share of the others that each is nearer than (DeLong, DeLong, Clarke-Pearson: Comparing the areas
    under two or more correlated receiver operating characteristic curves, 1988, Biometrics 44).

    NaN where a distance is not finite, or there are less than two samples or test examples.
    """
    samples, test = _flat(sample_distances, test_distances)
    if min(len(samples), len(test)) < 2 or not (samples.isfinite().all() and test.isfinite().all()):
        return math.nan
    shares = _farther(samples, test) / (2 * len(test)), _farther(test, samples) / (2 * len(samples))
    return math.sqrt(sum(share.double().var().item() / len(share) for share in shares))


def _flat(samples: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    return samples.flatten().double(), test.to(samples.device).flatten().double()


def _farther(x: Tensor, y: Tensor) -> Tensor:
    """For each of x (N,), twice how many of y (M,) are greater, and once how many are equal, int64."""
    y = y.sort().values
    return 2 * len(y) - sum(torch.searchsorted(y, x, right=right) for right in (False, True))
