"""The Gated PixelCNN: no blind spot, no look ahead, and the same numbers pixel by pixel."""

import pytest
import torch
from torch import Tensor, nn

from pmodel.nets.gated_pixelcnn import GatedPixelCNNNetwork


def network(num_channels: int, num_layers: int = 3, condition_channels: int = 0) -> GatedPixelCNNNetwork:
    """Random weights and biases, two outputs per channel, a first kernel of 5, float64."""
    torch.manual_seed(num_channels)
    C = num_channels
    net = GatedPixelCNNNetwork(C, 2 * C, 7, num_layers, 3, 5, 12, dropout=0.5, condition_channels=condition_channels)
    for parameter in net.double().parameters():
        nn.init.normal_(parameter, std=0.3)
    return net.eval()


def images(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64) * 2 - 1


def test_one_layer_of_a_wide_kernel_sees_all_earlier_pixels():
    torch.manual_seed(0)  # one of a few at which no ReLU cuts a path
    net = GatedPixelCNNNetwork(1, 2, 4, 1, 3, 13, 4).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x).sum(1), images(1, 1, 5, 6)).view(30, 30)
    assert torch.equal(jacobian != 0, torch.ones(30, 30).tril(-1).bool())


def test_the_vertical_stack_sees_all_channels_of_the_rows_above():
    net = network(3, 1)
    x = images(1, 3, 4, 4).requires_grad_()
    above, _ = net.layers[0](torch.nn.functional.pad(x, (0, 0, 1, -1)), x)
    (gradient,) = torch.autograd.grad(above[0, :, 2, 1].square().sum(), x)
    assert gradient[0, :, :2, :].ne(0).all()
    assert not gradient[0, :, 2:].any()


def test_ten_layers_of_128_have_about_3_4_million_parameters():
    net = GatedPixelCNNNetwork(1, 1, 128, 10, 3, 7, 128)
    # Per layer: 2×3 and 1×3 convolutions of 128 → 256, 1×1 of 256 → 256 and of 128 → 128, and biases.
    later = 128 * 256 * (6 + 3) + 256**2 + 128**2 + 256 + 256 + 128
    first = 256 * (4 * 7 + 7) + 256**2 + 128**2 + 256 + 256 + 128
    head = 128**2 + 128 + 128 + 1
    assert sum(p.numel() for p in net.parameters()) == 9 * later + first + head == pytest.approx(3.4e6, rel=0.04)


def test_dropout_acts_in_training_alone():
    net, x = network(1), images(1, 1, 6, 6)
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))
