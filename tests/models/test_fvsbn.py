"""Fully visible sigmoid belief nets: what their file alone promises; the family's properties are in
test_autoregressive."""

import math

import pytest
import torch
from autoregressive_family import all_images, small
from support import build

from pmodel.data.batch import Batch

LARGE = ["model.data_shape=[3,32,32]"]


def test_each_pixel_is_a_logistic_regression_on_those_before():
    model = small("fvsbn", [1, 2, 3])
    x = all_images([1, 2, 3], 2)
    flat, weight, bias = 2 * x.flatten(1) - 1, model.network.weight[:, 0], model.network.bias[:, 0]
    expected = torch.zeros(len(x), dtype=torch.float64)
    for d in range(6):
        p = (bias[d] + sum(weight[d, j] * flat[:, j] for j in range(d))).sigmoid()
        expected += torch.where(flat[:, d] > 0, p, 1 - p).log()
    torch.testing.assert_close(model.log_prob(x), expected.detach())


def test_weights_of_later_pixels_get_no_gradient():
    model, _ = build("model=fvsbn", "data.binarize=threshold")
    # Between black and white: of bits some sums are 0 by chance.
    model.loss(Batch(torch.rand(4, 1, 8, 8), None))["loss"].sum().backward()
    used = model.network.weight.grad[:, 0] != 0
    assert torch.equal(used, torch.ones(64, 64).tril(-1).bool())


def test_weights_of_later_pixels_are_not_counted():
    assert small("fvsbn", [1, 2, 3]).num_parameters == 15 + 6


def test_a_matrix_that_fits_in_no_memory_is_refused():
    with pytest.raises(ValueError, match=r"\Amodel\.likelihood=categorical: expected discretized_logistic; "):
        build("model=fvsbn", "data=mnist_5k", "data.binarize=none", "model.likelihood=categorical", *LARGE)


@pytest.mark.parametrize("name", ["fvsbn", "nade", "pixel_transformer"])
def test_a_mixture_of_logistics_on_many_levels_is_a_distribution(name):
    model = small(name, [2, 1, 2], 4, likelihood="discretized_logistic", num_mixtures=2)
    assert model.log_prob(all_images([2, 1, 2], 4)).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_data_of_many_levels_get_the_mixture_and_those_of_few_a_softmax():
    names = {"data=digits": "Categorical", "data=digits data.binarize=dynamic": "Bernoulli"}
    names["data=mnist_5k data.binarize=none"] = "DiscretizedLogisticMixture"
    for words, name in names.items():
        model, _ = build("model=fvsbn", *words.split())
        assert type(model.likelihood.likelihood).__name__ == name
        assert math.isfinite(model.log_prob(torch.zeros(1, *model.data_shape)).item())
