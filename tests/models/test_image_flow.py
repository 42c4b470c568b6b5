"""Flows of images as models: bounds on the probability of levels, against quadrature over the cells."""

import pytest
import torch
from support import build, fit

from pmodel import build as build_one
from pmodel.data.batch import Batch
from pmodel.nets.flows.layers import ActNorm

MODELS = ["nice", "realnvp", "glow"]
SMALL = {
    "nice": {"hidden_dims": [16]},
    "realnvp": {"hidden_channels": 4, "num_couplings": 2},
    "glow": {"hidden_channels": 4, "num_steps": 4},
}
# Of the nine images of two pixels with three levels.
PROBABILITIES = torch.tensor([0.3, 0.02, 0.02, 0.02, 0.3, 0.02, 0.1, 0.02, 0.2])
IMAGES = torch.cartesian_prod(torch.arange(3), torch.arange(3)).view(9, 1, 1, 2) / 2


def tiny(name: str, dequantization: str = "uniform", steps: int = 300):
    """A model of these images after a short training."""
    torch.manual_seed(0)
    shape = {"data_shape": [1, 1, 2], "num_levels": 3, "dequantization": dequantization}
    model = build_one(f"model={name}", **shape, **SMALL[name], dequantization_channels=8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    model.measure(IMAGES[torch.multinomial(PROBABILITIES, 200, replacement=True)])
    for _ in range(steps):
        x = IMAGES[torch.multinomial(PROBABILITIES, 100, replacement=True)]
        loss = model.loss(Batch(x, torch.zeros(100)))["loss"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def trained():
    return {name: tiny(name) for name in MODELS}


def exact(model) -> torch.Tensor:
    """log P of the nine images, by the midpoints of 60×60 squares in each cell."""
    offset = (torch.arange(60, dtype=torch.float64) + 0.5) / 60
    u = torch.cartesian_prod(offset, offset).view(-1, 1, 1, 2)
    model = model.double()
    with torch.no_grad():
        z, log_det = model.flow(((IMAGES.double()[:, None] * 2 + u) / 3).flatten(0, 1))
        density = (model.prior.log_prob(z) + log_det).view(9, -1)
    model.float()
    return torch.logsumexp(density, 1) - torch.log(torch.tensor(9.0 * 3600))


@pytest.mark.parametrize("name", MODELS)
def test_the_bounds_are_below_the_exact_log_probability_and_rise_to_it(trained, name):
    model, log_p = trained[name], exact(trained[name]).float()
    assert 0.5 < log_p.exp().sum() <= 1.001
    # At its best, the cross-entropy is the entropy.
    assert (PROBABILITIES * (PROBABILITIES.log() - log_p)).sum() < 0.35
    generator = torch.Generator().manual_seed(0)
    elbo = model.elbo(IMAGES.repeat(2000, 1, 1, 1), generator=generator).view(2000, 9)
    error = elbo.std(0) / 2000**0.5
    assert (elbo.mean(0) < log_p + 3 * error).all()
    few = model.importance_bound(IMAGES.repeat(2000, 1, 1, 1), 5, generator=generator).view(2000, 9).mean(0)
    assert ((elbo.mean(0) < few + 3 * error) & (few < log_p + 3 * error)).all()
    many = model.importance_bound(IMAGES, 20_000, generator=generator)
    torch.testing.assert_close(many, log_p, rtol=0, atol=0.1)


def test_variational_noise_has_a_higher_bound_than_uniform_noise(trained):
    uniform, variational = trained["realnvp"], tiny("realnvp", "variational")
    of = [
        (PROBABILITIES * model.elbo(IMAGES.repeat(500, 1, 1, 1)).view(500, 9).mean(0)).sum().item()
        for model in (uniform, variational)
    ]
    assert of[1] > of[0] + 0.02
    # And it is a bound.
    log_p = exact(variational).float()
    elbo = variational.elbo(IMAGES.repeat(2000, 1, 1, 1)).view(2000, 9)
    assert (elbo.mean(0) < log_p + 3 * elbo.std(0) / 2000**0.5).all()
    torch.testing.assert_close(variational.importance_bound(IMAGES, 20_000), log_p, rtol=0, atol=0.15)


def test_the_bound_does_not_depend_on_how_many_are_asked_at_once(trained, monkeypatch):
    model = trained["realnvp"]
    whole = model.importance_bound(IMAGES, 1000, generator=torch.Generator().manual_seed(0))
    # Eight images at a time with one sample each, or nine with eleven.
    for most in (8, 100):
        monkeypatch.setattr("pmodel.models.image_flow.MAX_NUMBERS", 2 * most)
        parts = model.importance_bound(IMAGES, 1000, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(whole, parts, rtol=0, atol=0.3)


@pytest.mark.parametrize("name", MODELS)
def test_codes_are_those_of_the_middles_of_cells_and_come_back(name):
    torch.manual_seed(0)
    model, data = build(f"model={name}", "data.limit=64")
    model.measure(data.examples("train", 64).x)
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    x = data.examples("test", 5).x
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=0, atol=1e-3)
    z = model.sample_latents(3, generator=torch.Generator().manual_seed(1))
    drawn = model.sample(3, generator=torch.Generator().manual_seed(1))
    assert (drawn - model.decode(z)).abs().max() <= 0.5 / 16 + 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_samples_have_the_probabilities_of_the_model(trained, name):
    drawn = trained[name].sample(20_000, generator=torch.Generator().manual_seed(0))
    counts = (drawn.flatten(1) * 2).round().long() @ torch.tensor([3, 1])
    shares = torch.bincount(counts, minlength=9) / 20_000
    inside = exact(trained[name]).exp().float()
    # What lies outside of [0, 1] is rounded to the nearest level.
    assert (shares > inside - 0.015).all()
    assert (shares - inside).sum() < 1 - inside.sum() + 0.01


def test_layers_are_scaled_by_the_training_examples_once():
    model, data = build("model=glow", "data.limit=64", "data.batch_size=32")
    fit(model, data, max_epochs=1)
    assert model.measured
    first = next(layer for layer in model.modules() if isinstance(layer, ActNorm))
    mean = first.mean.clone()
    assert mean.abs().min() > 0
    fit(model, build("model=glow", "data.limit=32")[1], max_epochs=1)
    assert torch.equal(first.mean, mean)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["data=points"], r"\Adata\.shape=\[2\]: expected images \[C, H, W\]; for points choose model=flow\Z"),
        (["data.dequantize=true"], r"\Adata\.num_levels=null: expected images on levels, .* data\.dequantize=true\Z"),
    ],
)
def test_data_without_levels_are_refused_in_one_line(typed, said):
    words = typed if typed[0].startswith("data=") else ["data=digits", *typed]
    with pytest.raises(ValueError, match=said):
        build("model=glow", *words)
