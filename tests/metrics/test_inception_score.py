"""The inception score against loops, torch-fidelity and what it must be at its ends."""

import math

import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric

from pmodel.metrics.inception_score import inception_score


def logits(N, K, seed=0):
    return 3 * torch.randn(N, K, generator=torch.Generator().manual_seed(seed))


def loops(p):
    """exp of the mean KL divergence, entry by entry."""
    p = p.tolist()
    marginal = [sum(column) / len(p) for column in zip(*p, strict=True)]
    divergences = [sum(a * math.log(a / q) for a, q in zip(row, marginal, strict=True) if a > 0) for row in p]
    return math.exp(sum(divergences) / len(p))


def test_score_is_that_of_loops_also_with_zeros():
    p = logits(40, 5).softmax(1)
    assert inception_score(p) == pytest.approx(loops(p), rel=1e-12)
    p[::3, 1:] = 0
    p[::3, 0] = 1
    p[:, 4], p[:, 3] = 0, p[:, 3] + p[:, 4]
    assert inception_score(p) == pytest.approx(loops(p), rel=1e-12)


def test_score_is_torch_fidelitys_of_one_split():
    features = logits(107, 6)
    theirs = isc_features_to_metric(features, splits=1, shuffle=False)
    assert inception_score(features.double().softmax(1)) == pytest.approx(theirs["inception_score_mean"], rel=1e-12)


def test_sure_and_even_is_the_number_of_classes_and_all_alike_is_one():
    assert inception_score(torch.eye(7).repeat(3, 1)) == pytest.approx(7, rel=1e-14)
    assert inception_score(torch.eye(7)[:3]) == pytest.approx(3, rel=1e-14)
    assert inception_score(logits(1, 7).softmax(1).repeat(9, 1)) == pytest.approx(1, rel=1e-12)
    assert inception_score(torch.eye(7)[[2, 2, 2]]) == 1


def test_what_has_no_score_gives_nan():
    p = logits(9, 4).softmax(1)
    assert math.isnan(inception_score(p[:0]))
    p[3, 2] = math.nan
    assert math.isnan(inception_score(p))


def test_logits_are_refused():
    with pytest.raises(AssertionError, match="not logits"):
        inception_score(logits(9, 4))
    with pytest.raises(AssertionError, match="sum to 1"):
        inception_score(logits(9, 4).sigmoid())
