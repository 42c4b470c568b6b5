"""Whether samples are nearer to training examples than other examples are."""

import math

import torch
from torch import Tensor


def copying(sample_distances: Tensor, test_distances: Tensor) -> tuple[float, float]:
    """P(d(sample) < d(test)) + ½ P(d(sample) = d(test)) over all pairs, d being the distance to the nearest training
    example: the Mann-Whitney statistic of Meehan, Chaudhuri, Dasgupta (A non-parametric test to detect data-copying in
    generative models, 2020, arXiv 2004.05675), as a share; and its standard error.

    ½ where samples (N,) are as far from the training examples as test examples (M,) are, 1 where all are copies, below
    ½ where they are farther (underfitting). The paper tests in each cell of a partition of the space, and averages
    z-scores; this has one cell, so copies in one place and strays in another cancel.

    The error is over fresh samples and fresh test examples, the training examples being what they are: from the share
    of the others that each is nearer than (DeLong, DeLong, Clarke-Pearson: Comparing the areas under two or more
    correlated receiver operating characteristic curves, 1988, Biometrics 44). NaN where a distance is not finite or
    there are none; the error also of less than two samples or test examples.
    """
    samples, test = sample_distances.flatten().double(), test_distances.to(sample_distances.device).flatten().double()
    N, M = len(samples), len(test)
    if not (N and M and samples.isfinite().all() and test.isfinite().all()):
        return math.nan, math.nan
    of_samples, of_test = _farther(samples, test), _farther(test, samples)
    share = of_samples.sum().item() / (2 * N * M)
    if min(N, M) < 2:
        return share, math.nan
    shares = of_samples / (2 * M), of_test / (2 * N)
    return share, math.sqrt(sum(each.double().var().item() / len(each) for each in shares))


def _farther(x: Tensor, y: Tensor) -> Tensor:
    """For each of x (N,), twice how many of y (M,) are greater, and once how many are equal, int64."""
    y = y.sort().values
    return 2 * len(y) - sum(torch.searchsorted(y, x, right=right) for right in (False, True))
