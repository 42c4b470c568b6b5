"""Restricted Boltzmann machines against sums over all their states."""

import pytest
import torch
from autoregressive_family import all_images, defaults
from lightning.pytorch import Callback
from models.test_autoregressive_samples import p_value
from support import build, fit

from pmodel.data.batch import Batch
from pmodel.distributions.rbm import all_states
from pmodel.instantiate import instantiate


def rbm(shape, hidden_dim, visible="binary", scale=0.8, **settings):
    """With random weights, in float64."""
    own = {"data_shape": shape, "num_levels": 2 if visible == "binary" else None, "hidden_dim": hidden_dim}
    own |= {"visible": visible, "init_size": 100, **settings}
    torch.manual_seed(0)
    model = instantiate({**defaults("rbm"), **own}).double().eval()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape))
    return model


def states(n):
    return torch.cat(list(all_states(n, 2**n, torch.zeros((), dtype=torch.float64))))


def energies(model, v):
    """E of all v (B, D) with all h, (B, 2^H)."""
    network, h = model.network, states(model.hparams["hidden_dim"])
    return -(v @ network.visible_bias)[:, None] - h @ network.hidden_bias - v @ network.weight @ h.T


@pytest.mark.parametrize(("shape", "hidden_dim"), [([1, 2, 3], 4), ([1, 2, 2], 7)])
def test_log_prob_is_that_of_all_states_whichever_layer_is_smaller(shape, hidden_dim):
    model = rbm(shape, hidden_dim)
    x = all_images(shape, 2)
    joint = (-energies(model, x.flatten(1))).exp()
    expected = (joint.sum(1) / joint.sum()).log().detach()
    torch.testing.assert_close(model.log_prob(x), expected)
    assert not hasattr(model, "log_prob_estimate")


def test_a_gaussian_density_integrates_to_one():
    model = rbm([2], 3, "gaussian", 0.6)
    axis = torch.linspace(-14, 14, 561, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    assert (model.log_prob(points).exp().sum() * 0.05**2).item() == pytest.approx(1, abs=1e-6)


def test_the_chain_leaves_the_distribution_as_it_is():
    model = rbm([1, 2, 2], 3)
    network, v, h = model.network, states(4), states(3)
    given_v, given_h = network.hidden_logits(v).sigmoid(), network.visible_parameters(h).sigmoid()
    to_h = torch.where(h[None] == 1, given_v[:, None], 1 - given_v[:, None]).prod(2)
    to_v = torch.where(v[None] == 1, given_h[:, None], 1 - given_h[:, None]).prod(2)
    kernel = to_h @ to_v
    p = model.log_prob(v.view(-1, 1, 2, 2)).exp()
    torch.testing.assert_close(p @ kernel, p)
    # And the sampler takes such steps: from one state, in the order of `all_images`, which counts from the other side.
    drawn = network.gibbs(v[5].expand(20_000, -1), 1, torch.Generator().manual_seed(0))
    index = all_images([1, 2, 2], 2).flatten(1) @ torch.tensor([1, 2, 4, 8], dtype=torch.float64)
    assert p_value(drawn, 2, kernel[5].detach()[index.long()]) > 1e-3


@pytest.mark.parametrize("num_chains", [0, 30_000])
def test_the_gradient_of_long_chains_is_that_of_the_likelihood(num_chains):
    model = rbm([1, 2, 2], 3, num_chains=num_chains, num_gibbs_steps=60)
    x = all_images([1, 2, 2], 2)[[3, 5, 6]].expand(3, 1, 2, 2).repeat(10_000, 1, 1, 1)
    model.train()
    torch.manual_seed(1)
    model.on_train_batch_start(None, 0)
    loss = model.loss(Batch(x, None))["loss"].mean()
    found = torch.autograd.grad(loss, tuple(model.network.parameters()))
    free = model.network.free_energy(all_images([1, 2, 2], 2).flatten(1))
    exact = model.network.free_energy(x[:3].flatten(1)).mean() + (-free).logsumexp(0)
    expected = torch.autograd.grad(exact, tuple(model.network.parameters()))
    for one, other in zip(found, expected, strict=True):
        # Means of 30,000 draws of at most 1.
        assert (one - other).abs().max() < 5 / 30_000**0.5


def test_samples_and_completions_follow_the_probabilities():
    model = rbm([1, 2, 2], 3, num_sampling_steps=60)
    x = all_images([1, 2, 2], 2)
    p = model.log_prob(x).exp()
    drawn = model.sample(20_000, generator=torch.Generator().manual_seed(0))
    assert p_value(drawn.flatten(1), 2, p.detach()) > 1e-3
    known = torch.tensor([[False, True], [False, True]])
    fits = (x.flatten(1)[:, 1] == 1) & (x.flatten(1)[:, 3] == 0)
    start = torch.tensor([[torch.nan, 1.0], [torch.nan, 0.0]], dtype=torch.float64).expand(20_000, 1, 2, 2)
    drawn = model.complete(start, known, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, :, known], start[:, :, known])
    assert p_value(drawn.flatten(1)[:, [0, 2]], 2, (p[fits] / p[fits].sum()).detach()) > 1e-3


def test_large_machines_estimate_and_the_estimate_follows_the_weights():
    model = rbm([1, 5, 5], 24, scale=0.2, annealing_chains=20, annealing_temperatures=30)
    assert not hasattr(model, "log_prob")
    x = torch.rand(6, 1, 5, 5).round().double()
    values, error = model.log_prob_estimate(x)
    assert values.shape == (6,)
    assert error.shape == ()
    assert 0 < error < 1
    before = values - model.unnormalized_log_prob(x)
    with torch.no_grad():
        model.network.hidden_bias += 1
    assert not torch.allclose(model.log_prob_estimate(x)[0] - model.unnormalized_log_prob(x), before)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_energies_are_not_rounded_under_mixed_precision(visible):
    shape = [1, 5, 5] if visible == "binary" else [25]
    model = rbm(shape, 24, visible, 0.2, annealing_chains=20, annealing_temperatures=30).float()
    x = torch.rand(6, *shape).round()
    plain = model.log_prob_estimate(x)[0], model.loss(Batch(x, None))["loss"]
    model._log_constant = None
    with torch.autocast("cpu", torch.bfloat16):
        found = model.log_prob_estimate(x)[0], model.loss(Batch(x, None))["loss"]
    for one, other in zip(found, plain, strict=True):
        assert torch.equal(one, other)


def test_examples_have_the_type_of_the_weights():
    model = rbm([1, 2, 2], 3)
    x = all_images([1, 2, 2], 2)
    torch.testing.assert_close(model.log_prob(x.float()), model.log_prob(x))
    assert model.loss(Batch(x.float(), None))["loss"].dtype == torch.float64
    assert model.encode(x.float()).dtype == torch.float64


def test_chains_are_states_also_where_weights_are_averaged():
    model, data = build("model=rbm", "data.binarize=threshold", "data.limit=64", "model.ema_decay=0.9")
    assert not model.averages_buffers
    with pytest.raises(ValueError, match=r"\Amodel\.compile=true: expected false; "):
        build("model=rbm", "model.compile=true")
    fit(model, data)
    assert set(model.chains.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("hidden_dim", [5, 24])
def test_validation_has_the_constant_of_the_weights_after_each_epoch(hidden_dim):
    words = ["data=digits", "data.binarize=threshold", "data.limit=64", "model.annealing_temperatures=50"]
    model, data = build("model=rbm", f"model.hidden_dim={hidden_dim}", "model.optimizer.lr=0.1", *words)
    found = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer, module):
            module.train().eval()
            found.append((trainer.callback_metrics["val/nll"].item(), module.log_constant.value))

    fit(model, data, max_epochs=3, callbacks=[Watch()])
    x = data.examples("validation", 64).x.flatten(1)
    assert len({constant for _, constant in found}) == 3
    expected = model.network.free_energy(x).mean().item() + found[-1][1]
    assert found[-1][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("model.visible=binary", r"\Amodel\.visible=binary: expected data on two levels, and data\.num_levels=17; add"),
        ("data=points model.visible=binary", r"\Amodel\.visible=binary: .* data\.num_levels=null; "),
    ],
)
def test_binary_units_take_bits_alone(words, line):
    with pytest.raises(ValueError, match=line):
        build("model=rbm", *words.split())
