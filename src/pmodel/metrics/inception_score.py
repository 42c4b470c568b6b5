"""The inception score: how sure a classifier is of each sample, and how unlike each other the samples are."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class SplitScores(NamedTuple):
    """Mean and standard deviation (over n, not n − 1) of the scores of equal parts."""

    mean: float
    std: float


def inception_score(p: Tensor, num_splits: int = 1) -> float:
    """exp(E_x KL(p(y|x) ‖ p(y))), 1 to K, from probabilities p(y|x) (N, K) of samples, p(y) being their mean (Salimans
    et al.: Improved techniques for training GANs, 2016, arXiv 1606.03498).

    Over all N at once; the paper has the mean over 10 parts, which `num_splits=10` gives, and which is lower, the
    more so the fewer samples are in a part. In float64; 0 log 0 is 0. NaN where a probability is not finite or there
    are fewer samples than parts.
    """
    return split_scores(p, num_splits).mean


def split_scores(p: Tensor, num_splits: int) -> SplitScores:
    """The inception score of each of `num_splits` parts of p (N, K), in the order given: their mean and deviation."""
    if num_splits < 1:
        raise ValueError(f"num_splits={num_splits}: expected at least 1")
    N = len(p)
    if num_splits > N or not p.isfinite().all():
        return SplitScores(math.nan, math.nan)
    p = p.double()
    assert (p >= 0).all(), "expected probabilities, not logits"
    assert ((p.sum(1) - 1).abs() < 1e-3).all(), "expected rows that sum to 1"
    parts = [p[i * N // num_splits : (i + 1) * N // num_splits] for i in range(num_splits)]
    # The mean KL is the entropy of the mean less the mean of the entropies.
    entropies = [torch.special.entr(part.mean(0)).sum() - torch.special.entr(part).sum(1).mean() for part in parts]
    scores = torch.stack(entropies).exp()
    return SplitScores(scores.mean().item(), scores.std(correction=0).item())
