"""NICE: what additive couplings keep."""

import torch
from support import build, normal

from pmodel.nets.flows.layers import ActNorm


def test_its_volume_changes_by_the_last_scale_alone():
    model, _ = build("model=nice")
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    log_det = model.flow(torch.rand(4, 1, 8, 8))[1]
    (scale,) = (layer for layer in model.flow.modules() if isinstance(layer, ActNorm))
    torch.testing.assert_close(log_det, scale.log_scale.sum().expand(4))


def test_its_prior_is_the_logistic_density():
    model, _ = build("model=nice")
    z = normal(5, 64)
    expected = (-z - 2 * torch.log1p((-z).exp())).sum(1)
    torch.testing.assert_close(model.prior.log_prob(z), expected)
    drawn = model.sample_latents(2000, generator=torch.Generator().manual_seed(0))
    # The variance of the standard logistic distribution is π²/3.
    assert abs(drawn.var().item() / (torch.pi**2 / 3) - 1) < 0.02


def test_both_halves_of_the_dimensions_are_moved():
    model, _ = build("model=nice")
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    jacobian = torch.autograd.functional.jacobian(lambda y: model.flow(y[None])[0][0], torch.rand(1, 8, 8))
    assert (jacobian.view(64, 64) != 0).all()
