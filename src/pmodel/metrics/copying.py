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
    samples, test = (part.flatten().double() for part in (sample_distances, test_distances.to(sample_distances.device)))
    if not (len(samples) and len(test) and samples.isfinite().all() and test.isfinite().all()):
        return math.nan
    test = test.sort().values
    below, up_to = (torch.searchsorted(test, samples, right=right).sum().item() for right in (False, True))
    pairs = len(samples) * len(test)
    # Nearer are those not up to the sample; ties are those up to it but not below: together (2 pairs − below − up_to).
    return (2 * pairs - below - up_to) / (2 * pairs)
