"""The inception score against loops, torch-fidelity and what it must be at its ends."""

import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric

from pmodel.metrics.inception_score import inception_score, split_scores


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


@pytest.mark.parametrize("num_splits", [1, 3, 10])
def test_score_of_splits_is_torch_fidelitys(num_splits):
    features = logits(107, 6)
    theirs = isc_features_to_metric(features, splits=num_splits, shuffle=False)
    found = split_scores(features.double().softmax(1), num_splits)
    assert found.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert found.std == pytest.approx(theirs["inception_score_std"], rel=1e-9, abs=1e-12)
    assert inception_score(features.double().softmax(1), num_splits) == found.mean


def test_splits_are_in_the_order_given_and_score_less_than_the_whole():
    p = logits(100, 8).softmax(1)
    scores = [loops(part) for part in p.split(10)]
    assert split_scores(p, 10) == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-12)
    assert inception_score(p, 10) < inception_score(p) < 8


def test_sure_and_even_is_the_number_of_classes_and_all_alike_is_one():
    assert inception_score(torch.eye(7).repeat(3, 1)) == pytest.approx(7, rel=1e-14)
    assert inception_score(torch.eye(7)[:3]) == pytest.approx(3, rel=1e-14)
    assert inception_score(logits(1, 7).softmax(1).repeat(9, 1)) == pytest.approx(1, rel=1e-12)
    assert inception_score(torch.eye(7)[[2, 2, 2]]) == 1


def test_what_has_no_score_gives_nan():
    p = logits(9, 4).softmax(1)
    assert math.isnan(inception_score(p[:0]))
    assert math.isfinite(inception_score(p, 9))
    assert all(math.isnan(value) for value in split_scores(p, 10))
    p[3, 2] = math.nan
    assert math.isnan(inception_score(p))


def test_logits_and_no_parts_are_refused():
    with pytest.raises(AssertionError, match="not logits"):
        inception_score(logits(9, 4))
    with pytest.raises(AssertionError, match="sum to 1"):
        inception_score(logits(9, 4).sigmoid())
    with pytest.raises(ValueError, match="num_splits=0: expected at least 1"):
        inception_score(logits(9, 4).softmax(1), 0)
