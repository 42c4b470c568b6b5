"""The linear probe against plain gradient descent, and on codes whose answer is known."""

import math
import warnings

import numpy as np
import pytest
import torch

import pmodel.metrics.probe
from pmodel.metrics.probe import linear_probe


def blobs(N, D, K, seed=0, noise=1.0):
    """Codes and labels of K Gaussians, whose means are the same whatever the seed."""
    means = 2 * torch.randn(K, D, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(K, (N,), generator=generator)
    return means[label] + noise * torch.randn(N, D, generator=generator), label


def gradient_descent(train, label, test, K):
    """Labels by multinomial logistic regression with penalty ½ ‖w‖², by many plain gradient steps in NumPy."""
    train, test = train.double().numpy(), test.double().numpy()
    mean, std = train.mean(0), train.std(0)
    x, t = ((a - mean) / std for a in (train, test))
    w, b, target = np.zeros((x.shape[1], K)), np.zeros(K), np.eye(K)[label.numpy()]
    for _ in range(4000):
        logits = x @ w + b
        p = np.exp(logits - logits.max(1, keepdims=True))
        residual = p / p.sum(1, keepdims=True) - target
        w -= (x.T @ residual + w) / len(x)
        b -= residual.mean(0)
    return (t @ w + b).argmax(1)


def test_accuracy_is_that_of_plain_gradient_descent():
    (train, label), (test, test_label) = blobs(150, 4, 5, noise=2.5), blobs(400, 4, 5, seed=1, noise=2.5)
    expected = (gradient_descent(train, label, test, 5) == test_label.numpy()).mean()
    assert 0.4 < expected < 0.95
    # One prediction in 400 may sit on a border.
    assert linear_probe(train, label, test, test_label) == pytest.approx(expected, abs=0.003)


def test_separate_clusters_are_read_off_and_codes_without_labels_are_not():
    (train, label), (test, test_label) = blobs(300, 10, 4, noise=0.3), blobs(300, 10, 4, seed=1, noise=0.3)
    assert linear_probe(train, label, test, test_label) == 1
    noise = torch.randn(300, 10, generator=torch.Generator().manual_seed(3))
    assert linear_probe(noise, label, test, test_label) < 0.6


def test_it_is_the_test_examples_that_count():
    train, label = blobs(200, 6, 3, noise=0.3)
    assert linear_probe(train, label, train, (label + 1) % 3) == 0
    # Of one label only, whose codes have another mean than those of all.
    assert linear_probe(train, label, train[label == 1], label[label == 1]) == 1
    assert linear_probe(train, label, train[:4], torch.tensor([*label[:3], 7])) == 0.75


def test_test_codes_have_no_part_in_the_scale():
    label = torch.arange(200) % 2
    noise = torch.randn(200, generator=torch.Generator().manual_seed(0))
    codes = torch.stack([2.0 * label - 1, noise], 1)
    strays = codes.clone()
    strays[:2, 0] *= 1e6
    assert linear_probe(codes, label, strays, label) == 1


def test_units_offsets_constant_columns_and_the_shape_of_codes_change_nothing():
    (train, label), (test, test_label) = blobs(200, 6, 4, noise=2), blobs(200, 6, 4, seed=1, noise=2)
    plain = linear_probe(train, label, test, test_label)
    scale = torch.logspace(-6, 6, 6)
    changed = [torch.cat([1e3 * scale + scale * codes, torch.full((200, 2), 0.1)], 1) for codes in (train, test)]
    # An offset of a thousand deviations costs float32 digits, and so perhaps an example on the border.
    assert linear_probe(changed[0], label, changed[1], test_label) == pytest.approx(plain, abs=0.006)
    as_images = [codes.view(200, 1, 2, 3) for codes in (train, test)]
    assert linear_probe(as_images[0], label, as_images[1], test_label) == plain
    # Constant while training, but not after: it must not drown the rest.
    train[:, 0], test[:, 0] = 0.1, 1e3 * test[:, 0]
    assert linear_probe(train, label, test, test_label) == linear_probe(train[:, 1:], label, test[:, 1:], test_label)


def test_it_is_the_same_each_time_and_leaves_what_it_is_given():
    train, label = blobs(100, 5, 3, noise=2)
    given = train.clone()
    values = {linear_probe(train, label, train, label) for _ in range(3)}
    assert len(values) == 1
    assert torch.equal(train, given)


def test_steps_that_run_out_raise_no_warning_and_leave_warnings_as_they_were(monkeypatch):
    monkeypatch.setattr(pmodel.metrics.probe, "MAX_ITER", 2)
    (train, label), (test, test_label) = blobs(200, 6, 4), blobs(200, 6, 4, seed=1)
    before = list(warnings.filters)
    assert linear_probe(train, label, test, test_label) > 0.5
    assert list(warnings.filters) == before


def test_what_has_no_accuracy_gives_nan():
    train, label = blobs(20, 3, 2)
    assert math.isnan(linear_probe(train, torch.zeros(20, dtype=torch.int64), train, label))
    assert math.isnan(linear_probe(train, label, train[:0], label[:0]))
    assert math.isnan(linear_probe(train[:0], label[:0], train, label))
    broken = train.clone()
    broken[2, 1] = math.nan
    assert math.isnan(linear_probe(broken, label, train, label))
    assert math.isnan(linear_probe(train, label, broken, label))
