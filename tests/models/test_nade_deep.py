"""Deep NADE: any order gives a distribution, the loss is the mean over all orders, completions are conditional."""

from itertools import permutations

import pytest
import torch
from any_order_family import any_order_model, assert_draws_follow_the_probabilities
from autoregressive_family import all_images
from models.test_autoregressive_samples import p_value

from pmodel.data.batch import Batch
from pmodel.models.nade_deep import _spaced


def log_prob_in(model, x, order):
    """log p(x) by the conditionals in an order, each from a pass of its own."""
    total, known = 0, torch.zeros_like(x)
    for d in order:
        parameters = model.network(2 * x - 1, known)
        total += model.log_prob_of(parameters, x)[:, d]
        known = known.clone()
        known[:, d] = 1
    return total


@pytest.mark.parametrize(("shape", "num_levels"), [([1, 2, 3], 2), ([3, 1, 2], 3), ([1, 1, 1], 4)], ids=str)
def test_probabilities_sum_to_one_in_each_order_and_in_their_mixture(shape, num_levels):
    model = any_order_model("nade_deep", shape, num_levels, num_orders=3, hidden_dims=[20, 10])
    x = all_images(shape, num_levels)
    each = torch.stack([model.log_prob_in_order(x.flatten(1), k) for k in range(3)]).exp()
    torch.testing.assert_close(each.sum(1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(model.log_prob(x).exp(), each.mean(0))
    for k in range(3):
        plain = log_prob_in(
            model, x.flatten(1), model.steps_in_order(1, torch.zeros(x[0].numel(), dtype=torch.bool), k)[1].tolist()
        )
        torch.testing.assert_close(each[k], plain.exp().detach())


def test_the_loss_is_in_expectation_the_mean_over_all_orders():
    model = any_order_model("nade_deep", [1, 2, 2], 2)
    x = all_images([1, 2, 2], 2)[5:6].flatten(1)
    expected = -torch.stack([log_prob_in(model, x, order) for order in permutations(range(4))]).mean().item()
    torch.manual_seed(0)
    with torch.no_grad():
        losses = torch.stack(
            [model.loss(Batch(x.view(1, 1, 2, 2).expand(64, -1, -1, -1), None))["loss"] for _ in range(300)]
        )
    batches = losses.mean(1)
    assert batches.mean().item() == pytest.approx(expected, abs=4 * batches.std().item() / 300**0.5)


def test_each_batch_sees_as_many_values_as_any_other():
    counts = (_spaced(torch.rand(40, 3))[:, 0] * 10).long().bincount(minlength=10)
    assert counts.tolist() == [4] * 10


def test_draws_follow_the_probabilities():
    assert_draws_follow_the_probabilities(any_order_model("nade_deep", [1, 2, 2], 3, num_orders=3))


def test_completions_are_given_all_that_is_known():
    """Wherever it stands."""
    model = any_order_model("nade_deep", [1, 2, 2], 2, num_orders=1)
    known = torch.tensor([[False, True], [False, True]])
    plain = model.steps_in_order(1, torch.zeros(4, dtype=torch.bool), 0)[1].tolist()
    order = [d for d in plain if d in (1, 3)] + [d for d in plain if d in (0, 2)]
    x = all_images([1, 2, 2], 2)
    p = log_prob_in(model, x.flatten(1), order).exp()
    fits = (x.flatten(1)[:, 1] == 1) & (x.flatten(1)[:, 3] == 0)
    p = torch.where(fits, p, 0) / p[fits].sum()
    start = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).expand(20_000, 1, 2, 2)
    drawn = model.complete(start, known, generator=torch.Generator().manual_seed(0))
    assert p_value(drawn.flatten(1)[:, [0, 2]], 2, p[fits].detach()) > 1e-3
    assert torch.equal(drawn[:, :, known], start[:, :, known])


def test_what_is_known_may_differ_from_image_to_image():
    model = any_order_model("nade_deep", [1, 3, 2], 3, num_orders=4)
    x = all_images([1, 3, 2], 3)[::100].float()
    known = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    drawn = model.complete(torch.where(known, x, torch.nan), known)
    assert torch.equal(drawn[known], x[known])
    assert drawn.isfinite().all()


def test_more_orders_can_be_asked_for():
    few, many = (any_order_model("nade_deep", [1, 2, 2], 2, num_orders=k) for k in (2, 6))
    many.load_state_dict(few.state_dict())
    x = all_images([1, 2, 2], 2)
    each = torch.stack([few.log_prob_in_order(x.flatten(1), k) for k in range(6)]).exp()
    torch.testing.assert_close(few.log_prob(x).exp(), each[:2].mean(0))
    torch.testing.assert_close(many.log_prob(x).exp(), each.mean(0))
