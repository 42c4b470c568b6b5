"""Each layer of a flow: its inverse, its log-determinant against the autograd Jacobian, and what it is for."""

from functools import partial

import pytest
import torch
from support import normal

from pmodel.nets.flows.coupling import ConvNetwork, Coupling, VectorNetwork, alternating, channels, checkerboard
from pmodel.nets.flows.dequantization import LARGEST, Variational, from_levels, to_levels
from pmodel.nets.flows.layers import ActNorm, Flatten, InvertibleConv, Logit, Sequence, Squeeze, measure
from pmodel.nets.flows.multiscale import MultiScale, Split, glow_scale, realnvp_scale

IMAGE = (2, 4, 6)
SHAPES = [(1, 4, 4), (1, 8, 8), (3, 5, 3), (1, 3, 2), (1, 1, 2), (2, 2, 6), (1, 1, 1)]


def scrambled(layer: torch.nn.Module, by: float = 0.05) -> torch.nn.Module:
    """A layer with other weights than those it starts with."""
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data += by * torch.randn(parameter.shape, generator=generator)
    return layer


def measured(num_channels: int) -> ActNorm:
    layer = ActNorm(num_channels)
    measure(layer, 3 * normal(10, num_channels, 2, 2) + 5)
    return layer


LAYERS = {
    "flatten": lambda: (Flatten(IMAGE), IMAGE),
    "squeeze": lambda: (Squeeze(), IMAGE),
    "logit": lambda: (Sequence(_Between(), Logit(0.05)), IMAGE),
    "actnorm": lambda: (measured(2), IMAGE),
    "actnorm_of_vectors": lambda: (ActNorm(5), (5,)),
    "invertible_conv": lambda: (InvertibleConv(2), IMAGE),
    "invertible_conv_of_one": lambda: (InvertibleConv(1), (1, 2, 3)),
    "checkerboard": lambda: (Coupling(checkerboard(4, 6, 1), ConvNetwork(2, 4, 5, 1)), IMAGE),
    "channels": lambda: (Coupling(channels(3, 0), ConvNetwork(3, 6, 5, 2)), (3, 2, 2)),
    "additive": lambda: (Coupling(alternating(7, 0), VectorNetwork(7, [9]), scaled=False), (7,)),
    "split": lambda: (Split(3), (3, 2, 2)),
    "realnvp": lambda: (MultiScale((1, 4, 4), 3, realnvp_scale(2, 4, 1)), (1, 4, 4)),
    "glow": lambda: (MultiScale((1, 4, 4), 3, glow_scale(2, 4, 1)), (1, 4, 4)),
}


class _Between(torch.nn.Module):
    """Into [0, 1], so that a logit can follow."""

    def forward(self, x):
        return x.sigmoid(), (x.sigmoid() * (-x).sigmoid()).log().flatten(1).sum(1)

    def inverse(self, z):
        return z.logit()


@pytest.mark.parametrize("name", LAYERS)
def test_inverse_and_log_determinant(name):
    torch.manual_seed(0)
    layer, shape = LAYERS[name]()
    x = normal(3, *shape, dtype=torch.float64)
    with torch.no_grad():
        layer = scrambled(layer)
        torch.testing.assert_close(layer.inverse(layer(x.float())[0]), x.float(), rtol=0, atol=1e-5)
        layer = layer.double()
        z, log_det = layer(x)
        torch.testing.assert_close(layer.inverse(z), x, rtol=0, atol=1e-10)
    for i, one in enumerate(x):
        jacobian = torch.autograd.functional.jacobian(lambda y: layer(y[None])[0][0].flatten(), one)
        expected = torch.linalg.slogdet(jacobian.flatten(1))[1]
        torch.testing.assert_close(log_det[i], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [realnvp_scale(2, 4, 1), glow_scale(2, 4, 0)], ids=["realnvp", "glow"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_size_come_back(scale, shape):
    torch.manual_seed(0)
    flow = scrambled(MultiScale(shape, 3, scale)).double()
    x = normal(2, *shape, dtype=torch.float64)
    with torch.no_grad():
        z, log_det = flow(x)
        assert z.shape == (2, x[0].numel())
        torch.testing.assert_close(flow.inverse(z), x, rtol=0, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda y: flow(y[None])[0][0], x[0]).flatten(1)
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(jacobian)[1], rtol=0, atol=1e-9)
    # Each pixel is decided by others too, where there are others.
    assert (jacobian != 0).sum() > len(jacobian) or len(jacobian) == 1


def test_there_are_as_many_scales_as_halvings():
    assert MultiScale((1, 28, 28), 5, glow_scale(1, 4, 0)).parts == [(2, 14, 14), (8, 7, 7)]
    assert MultiScale((1, 8, 8), 2, glow_scale(1, 4, 0)).parts == [(2, 4, 4), (8, 2, 2)]
    assert MultiScale((3, 11, 9), 5, glow_scale(1, 4, 0)).parts == [(3, 11, 9)]


def test_actnorm_gives_its_first_examples_mean_0_and_variance_1_in_every_layer():
    torch.manual_seed(0)
    x = normal(50, 1, 8, 8) * torch.linspace(0.1, 5, 8) + 3
    flow = scrambled(MultiScale((1, 8, 8), 2, glow_scale(2, 4, 1)))
    for layer in flow.modules():
        if isinstance(layer, ActNorm):
            layer.log_scale.data.zero_()
            layer.shift.data.zero_()
    measure(flow, x)
    seen = []
    for layer in flow.modules():
        if isinstance(layer, ActNorm):
            layer.register_forward_hook(lambda _, __, output: seen.append(output[0].transpose(0, 1).flatten(1)))
    flow(x)
    assert len(seen) == 4
    for z in seen:
        torch.testing.assert_close(z.mean(1), torch.zeros(len(z)), rtol=0, atol=1e-4)
        torch.testing.assert_close(z.var(1, correction=0), torch.ones(len(z)), rtol=1e-3, atol=0)


def test_what_is_kept_is_kept_and_alone_decides():
    layer = scrambled(Coupling(checkerboard(4, 4, 0), ConvNetwork(1, 2, 4, 1)))
    x, kept = normal(2, 1, 4, 4), checkerboard(4, 4, 0)
    z, log_det = layer(x)
    assert torch.equal(z[:, kept], x[:, kept])
    other = torch.where(kept, x, 0)
    torch.testing.assert_close(layer(other)[1], log_det)


def test_split_is_standard_normal_of_what_has_its_mean_and_scale():
    layer = scrambled(Split(2), 0.5)
    x = layer.inverse(torch.cat([torch.ones(2000, 1, 1, 1), normal(2000, 1, 1, 1)], dim=1))
    z = layer(x)[0][:, 1]
    assert x[:, 1].std().item() != pytest.approx(1, abs=0.05)
    assert z.mean().item() == pytest.approx(0, abs=0.1)
    assert z.std().item() == pytest.approx(1, abs=0.05)


def test_levels_come_back_from_their_cells():
    for L in (2, 3, 17, 256):
        x = (torch.arange(L) / (L - 1)).view(L, 1, 1, 1)
        for u in (0.0, 0.5, LARGEST):
            assert torch.equal(to_levels(from_levels(x, torch.full_like(x, u), L), L), x)
    assert to_levels(torch.tensor([-0.3, 1.4]), 3).tolist() == [0, 1]


def test_variational_noise_starts_uniform_and_has_its_own_density():
    torch.manual_seed(0)
    x, noise = torch.rand(3, 1, 2, 3), torch.rand(3, 1, 2, 3)
    model = Variational((1, 2, 3), 4, 5, 1)
    u, log_q = model(x, noise)
    torch.testing.assert_close(u, noise, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(log_q, torch.zeros(3), rtol=0, atol=1e-4)
    model, x, noise = scrambled(model).double(), x.double(), noise.double()
    u, log_q = model(x, noise)
    for i, image in enumerate(x):
        of_noise = partial(lambda image, e: model(image[None], e[None])[0].flatten(), image)
        jacobian = torch.autograd.functional.jacobian(of_noise, noise[i])
        # The density of u is that of the uniform noise over the volume that it takes.
        expected = -torch.linalg.slogdet(jacobian.flatten(1))[1]
        torch.testing.assert_close(log_q[i], expected, rtol=0, atol=1e-6)
    assert not torch.allclose(model(1 - x, noise)[0], u)
