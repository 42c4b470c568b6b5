"""The inception score: how sure a classifier is of each sample, and how unlike each other the samples are."""

import math

import torch
from torch import Tensor


def inception_score(p: Tensor) -> float:
    """exp(E_x KL(p(y|x) ‖ p(y))), 1 to K, from probabilities p(y|x) (N, K) of samples, p(y) being their mean (Salimans
    et al.: Improved techniques for training GANs, 2016, arXiv 1606.03498).

    Over all N at once; the paper has the mean over 10 parts, which is lower, the more so the fewer samples are in a
    part. In float64; 0 log 0 is 0. NaN where a probability is not finite or there is no sample.
    """
    if not (len(p) and p.isfinite().all()):
        return math.nan
    p = p.double()
    assert (p >= 0).all(), "expected probabilities, not logits"
    assert ((p.sum(1) - 1).abs() < 1e-3).all(), "expected rows that sum to 1"
    # The mean KL is the entropy of the mean less the mean of the entropies.
    return (torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(1).mean()).exp().item()
