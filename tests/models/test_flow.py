"""Flows of points against known densities; and one as the prior of a VAE."""

import pytest
import torch
from support import build, fit, source

from pmodel.config.check import check_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import ConfigError
from pmodel.distributions.flow import FlowDensity


def test_it_learns_the_density_of_the_moons():
    """A Gaussian is 0.91 nats away."""
    model, data = build("model=flow", "data=points", "data.name=moons", "data.num_train=2000", "data.batch_size=500")
    fit(model, data, max_epochs=40)
    x = data.examples("test", 2000).x
    gap = (data.log_prob(x) - model.log_prob(x)).mean().item()
    assert -0.02 < gap < 0.25


def test_the_density_in_the_datas_units_integrates_to_one():
    model, _ = build("model=flow", "data=points")
    x = torch.tensor([[30.0, -2.0]]) + torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * 0.1
    model.standardize(x)
    line = torch.arange(-1, 1, 0.01)
    grid = torch.tensor([30.0, -2.0]) + torch.cartesian_prod(line, line)
    assert (model.log_prob(grid).double().exp().sum() * 0.01**2).item() == pytest.approx(1, abs=5e-3)
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=0, atol=1e-4)
    drawn = model.sample(2000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), x.mean(0), rtol=0, atol=0.05)


def test_a_constant_dimension_keeps_its_scale():
    model, _ = build("model=flow", "data=points")
    model.standardize(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert model.scale.tolist() == [0.25, 1.0]
    assert model.mean.tolist() == [2.0, 5.0]


def test_bounded_data_fill_the_range_of_splines_and_others_have_their_standard_deviation():
    model, _ = build("model=flow", "data=points")
    x = torch.stack([torch.linspace(-7, 5, 1001), torch.randn(1001, generator=torch.Generator().manual_seed(0))], dim=1)
    x[0, 1] = 40.0
    model.standardize(x)
    z = (x - model.mean) / model.scale
    assert z[:, 0].abs().max() == pytest.approx(4)
    assert z[:, 1].std(correction=0) == pytest.approx(1)


def test_a_second_training_keeps_the_scale_of_the_first():
    model, data = build("model=flow", "data=points", "data.num_train=64")
    fit(model, data, max_epochs=1)
    mean = model.mean.clone()
    fit(model, source("points", shape=[2], name="moons", num_train=64), max_epochs=1)
    assert torch.equal(model.mean, mean)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("model.flow=NFS", r"model\.flow=NFS: expected one of NSF, .*; did you mean NSF\?"),
        ("model.settings.bins=1", r"model\.settings\.bins=1: expected a whole number, at least 2, or null"),
        ("+model.settings.knots=9", r"\+model\.settings\.knots=9: model\.settings has no 'knots'"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_built(typed, said):
    register_resolvers()
    with pytest.raises(ConfigError, match=said):
        check_overrides("train", ["model=flow", "data=points", typed])


def test_a_setting_that_the_flow_does_not_take_is_refused():
    with pytest.raises(ValueError, match=r"\Amodel\.settings\.bins=8: expected null, since MAF takes transforms, .*\Z"):
        build("model=flow", "data=points", "model.flow=MAF", "model.settings.bins=8")
    with pytest.raises(ValueError, match=r"\Amodel\.prior\.settings\.degree=3: expected null, since NSF takes .*\Z"):
        build("model=vae", "model/prior=flow", "model.prior.settings.degree=3")


def test_images_are_refused():
    with pytest.raises(ValueError, match=r"\Adata\.shape=\[1, 8, 8\]: expected points \[D\] with model=flow; .*\Z"):
        build("model=flow", "data=digits")


SMALL = ["data=digits", "data.binarize=threshold", "model/prior=flow", "model.latent_dim=2", "data.limit=200"]


@pytest.fixture(scope="module")
def with_flow():
    """A VAE of two dimensions whose prior is trained with it."""
    torch.manual_seed(0)
    model, data = build("model=vae", *SMALL)
    before = model.prior.log_prob(torch.zeros(1, 2)).item()
    fit(model, data, max_epochs=10)
    return model.eval(), data, before


def test_the_prior_of_a_vae_is_trained_with_it(with_flow):
    model, data, before = with_flow
    assert isinstance(model.prior, FlowDensity)
    model.train()
    assert model.prior.training
    assert model.prior.log_prob(torch.zeros(1, 2)).item() != before
    model.zero_grad()
    model.loss(data.examples("train", 16))["loss"].mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.prior.parameters())
    model.eval()


def test_the_bounds_with_a_flow_as_prior_are_below_log_prob_by_quadrature(with_flow):
    """log p(x) = log ∫ p(x | z) p(z) dz over a lattice of the two dimensions."""
    model, data, _ = with_flow
    x = data.examples("test", 5).x
    line = torch.linspace(-8, 8, 321)
    z = torch.cartesian_prod(line, line)
    with torch.no_grad():
        log_prior = model.prior.log_prob(z).double()
        logits = model.decoder(z)
        log_p = torch.stack([model.likelihood.log_prob(logits, one.expand(len(z), *one.shape)) for one in x])
        exact = torch.logsumexp(log_p.double() + log_prior, 1) + 2 * torch.log(line[1] - line[0])
    assert torch.logsumexp(log_prior, 0).exp() * (line[1] - line[0]) ** 2 == pytest.approx(1, abs=0.01)
    generator = torch.Generator().manual_seed(0)
    elbo = torch.stack([model.elbo(x, generator=generator) for _ in range(200)]).mean(0)
    tight = model.importance_bound(x, 5000, generator=generator)
    assert (elbo < exact).all()
    assert (elbo < tight).all()
    torch.testing.assert_close(tight.double(), exact, rtol=0, atol=0.15)


def test_codes_are_drawn_from_the_flow(with_flow):
    model, *_ = with_flow
    drawn = model.sample_latents(6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, model.prior.sample(6, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("words", ["model=flow data=points", "model=realnvp data=digits", "model=vae model/prior=flow"])
def test_half_precision_is_refused_where_a_flow_would_be_too_coarse(words):
    model, data = build(*words.split(), "data.limit=64" if "points" not in words else "data.num_train=64")
    with pytest.raises(ValueError, match=r"\Atrainer\.precision=bf16-true: expected 32-true or bf16-mixed; "):
        fit(model, data, precision="bf16-true")


def test_a_flow_that_would_not_be_compiled_says_so():
    with pytest.raises(ValueError, match=r"\Amodel\.compile=true: expected false; "):
        build("model=flow", "data=points", "model.compile=true")


def test_a_flow_can_be_the_prior_of_another_model():
    """Its density has a gradient where a code has one, and none where nobody asks."""
    model, _ = build("model=flow", "data=points")
    x = torch.randn(3, 2)
    assert not model.log_prob(x).requires_grad
    assert model.log_prob(x.requires_grad_()).requires_grad
