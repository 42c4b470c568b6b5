"""Nats, bits and their standard errors."""

import math

import pytest
import torch

from pmodel.metrics.likelihood import bits_per_dim, estimate


def test_uniform_pixels_cost_their_bits():
    """256 equally likely levels cost 8 bits per dimension, whatever the count of dimensions."""
    for dims in (1, 64, 3 * 32 * 32):
        assert bits_per_dim(-dims * math.log(256), dims) == pytest.approx(8)


def test_the_papers_conversion():
    """PixelCNN's 81.30 nats on 28×28 binarized digits are 0.1496 bits per pixel."""
    assert bits_per_dim(-81.30, 784) == pytest.approx(81.30 / 784 / 0.6931471805599453)


def test_estimate_is_the_mean_with_its_standard_error():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    mean, error, count = estimate(values)
    assert (mean, count) == (2.5, 4)
    assert error == pytest.approx(math.sqrt(5 / 3) / 2)
