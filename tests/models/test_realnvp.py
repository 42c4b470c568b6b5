"""RealNVP: its scales, and what reaches what."""

import torch
from support import build

from pmodel.nets.flows.coupling import Coupling
from pmodel.nets.flows.layers import Squeeze


def test_its_networks_get_twice_the_maps_with_each_halving():
    model, _ = build("model=realnvp", "data=mnist_5k", "model.num_couplings=3", "model.hidden_channels=8")
    widths = [m.network.first.out_channels for m in model.flow.modules() if isinstance(m, Coupling)]
    assert widths == [8] * 3 + [16] * 3 + [16] * 3 + [32] * 3
    assert sum(isinstance(m, Squeeze) for m in model.flow.modules()) == 2


def test_every_pixel_reaches_every_code_of_the_last_scale():
    torch.manual_seed(0)
    model, _ = build("model=realnvp")
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    y = torch.rand(1, 8, 8)
    jacobian = torch.autograd.functional.jacobian(lambda y: model.flow(y[None])[0][0], y).view(64, 64)
    assert (jacobian[-16:] != 0).all()


def test_the_logit_is_left_out_with_null():
    torch.manual_seed(0)
    with_it, without = (build("model=realnvp", f"model.logit_alpha={alpha}")[0] for alpha in ("0.05", "null"))
    y = torch.rand(2, 1, 8, 8)
    # Untrained, a RealNVP only sorts the pixels.
    torch.testing.assert_close(without.flow(y)[0].sort().values, y.flatten(1).sort().values)
    expected = (0.05 + 0.9 * y.flatten(1)).logit().sort().values
    torch.testing.assert_close(with_it.flow(y)[0].sort().values, expected)
