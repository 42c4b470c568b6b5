"""MADE: its Jacobian against its masks, probabilities in any order, and draws."""

import math

import pytest
import torch
from any_order_family import any_order_model, assert_draws_follow_the_probabilities
from autoregressive_family import all_images, randomized
from support import build

SETTINGS = [("raster", 1), ("raster", 3), ("random", 3)]


def ancestors(network, order, generator):
    """Which values each output depends on, (D, D), by paths through the masks, which are drawn anew as paths of 0/1."""
    kept = [layer.weight.data.clone() for layer in network.layers]
    for layer in network.layers:
        layer.weight.data.fill_(1)
    masks = network.masked_weights(order, generator)
    for layer, weight in zip(network.layers, kept, strict=True):
        layer.weight.data.copy_(weight)
    paths = masks[0]
    for mask in masks[1:]:
        paths = mask @ paths
    return paths.unflatten(0, (network.num_values, -1)).sum(1) > 0


@pytest.mark.parametrize(("order", "num_masks"), SETTINGS)
@pytest.mark.parametrize("hidden_dims", [[40], [30, 20]])
def test_jacobian_is_that_of_the_masks_and_sees_no_later_value(order, num_masks, hidden_dims):
    model = any_order_model("made", [1, 3, 2], 3, order=order, num_masks=num_masks, hidden_dims=hidden_dims)
    for k in range(num_masks):
        found = torch.zeros(6, 6, dtype=torch.bool)
        for seed in range(40):
            # At one point, with the same weights, a ReLU may cut a path.
            network = randomized(model, seed).network
            x = torch.rand(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1
            jacobian = torch.autograd.functional.jacobian(lambda x, k=k, f=network: f(x, *model._masks(k))[0], x)
            found |= (jacobian[:, :, 0] != 0).any(1)
        assert torch.equal(found, ancestors(model.network, *model._masks(k)))
        places = model._masks(k)[0].argsort()
        assert not (found & (places[None] >= places[:, None])).any()


def test_wide_layers_see_all_that_comes_before():
    model = any_order_model("made", [1, 3, 2], 2, order="random", num_masks=2, hidden_dims=[200])
    for k in range(2):
        places = model._masks(k)[0].argsort()
        assert torch.equal(ancestors(model.network, *model._masks(k)), places[None] < places[:, None])


@pytest.mark.parametrize(("shape", "num_levels"), [([1, 2, 3], 2), ([3, 1, 2], 3), ([1, 1, 1], 4)], ids=str)
@pytest.mark.parametrize(("order", "num_masks"), SETTINGS)
def test_probabilities_of_all_images_sum_to_one_in_each_order_and_in_their_mixture(order, num_masks, shape, num_levels):
    model = any_order_model("made", shape, num_levels, order=order, num_masks=num_masks)
    x = all_images(shape, num_levels)
    each = torch.stack([model.log_prob_in_order(x.flatten(1), k) for k in range(num_masks)]).exp()
    torch.testing.assert_close(each.sum(1), torch.ones(num_masks, dtype=torch.float64))
    torch.testing.assert_close(model.log_prob(x).exp(), each.mean(0))
    if num_masks > 1 and math.prod(shape) > 1:
        assert not torch.allclose(each[0], each[1])


@pytest.mark.parametrize(("order", "num_masks"), SETTINGS)
def test_draws_follow_the_probabilities(order, num_masks):
    assert_draws_follow_the_probabilities(any_order_model("made", [1, 2, 2], 3, order=order, num_masks=num_masks))


def test_value_by_value_gives_the_numbers_of_one_pass():
    model = any_order_model("made", [2, 2, 2], 3, order="random", num_masks=2, hidden_dims=[20, 10])
    x = 2 * all_images([2, 2, 2], 3)[::97].flatten(1) - 1
    for k in range(2):
        steps, order = model.steps_in_order(len(x), torch.zeros(8, dtype=torch.bool), k)
        whole = model.network(x, *model._masks(k))
        for d in order.tolist():
            torch.testing.assert_close(steps.parameters(d), whole[:, d])
            steps.put(d, x[:, d])


def test_training_takes_the_sets_of_masks_in_turn():
    model, data = build("model=made", "model.num_masks=3", "model.order=random")
    batch = data.examples("train", 8)
    x, losses = batch.x.flatten(1), []
    for step in range(6):
        model._trainer = type("Trainer", (), {"global_step": step})()
        losses.append(model.loss(batch)["loss"])
    model._trainer = None
    for k in range(3):
        torch.testing.assert_close(losses[k], -model.log_prob_in_order(x, k))
        assert torch.equal(losses[k], losses[k + 3])
    torch.testing.assert_close(model.terms(batch)["loss"], -model.log_prob(batch.x))


def test_raster_order_is_that_of_pixels_then_channels():
    model = any_order_model("made", [3, 1, 2], 2, order="raster", num_masks=1)
    assert model._masks(0)[0].tolist() == [0, 2, 4, 1, 3, 5]
