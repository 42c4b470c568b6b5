"""The Gated PixelCNN: no blind spot, no look ahead, and the same numbers pixel by pixel."""

from itertools import product

import pytest
import torch
from support import build
from torch import Tensor, nn

from pmodel.nets.autoregressive import Steps
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


def forget(steps: Steps) -> None:
    """Makes the pixels of the row anything."""
    for present in steps.inputs:
        present.normal_(std=100)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["none", "label", "map"])
@pytest.mark.parametrize(("height", "width"), [(7, 5), (8, 8)])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_steps_equal_the_forward_pass_whatever_stands_in_what_is_not_yet_known(num_channels, height, width, kind):
    C, H, W = num_channels, height, width
    condition = {"none": None, "label": images(2, 4, 1, 1), "map": images(2, 4, H, W)}[kind]
    net = network(C, condition_channels=0 if condition is None else 4)
    x = images(2, C, H, W)
    expected = net(x, condition).unflatten(1, (C, 2))
    steps = net.steps(2, W, condition)
    forget(steps)
    for i in range(H):
        steps.start_row(i)
        forget(steps)
        for j, c in product(range(W), range(C)):
            found = steps.pixel(j).unflatten(1, (C, 2))[:, c]
            torch.testing.assert_close(found, expected[:, c, :, i, j], rtol=1e-9, atol=1e-9)
            steps.inputs[j][:, c] = x[:, c, i, j]


@pytest.mark.parametrize("num_channels", [1, 3])
def test_every_earlier_sub_pixel_in_the_kernels_reach_is_seen_and_no_other(num_channels):
    C, H, W, num_layers = num_channels, 7, 8, 2
    net = network(C, num_layers)

    def outputs(x: Tensor) -> Tensor:
        return net(x).unflatten(1, (C, 2)).sum(2)

    # The head's ReLUs cut a path here and there: what is seen is seen in one image of eight.
    jacobians = [torch.autograd.functional.jacobian(outputs, images(1, C, H, W)) for _ in range(8)]
    seen = torch.stack(jacobians).ne(0).any(0)[0, :, :, :, 0]
    # The first layer sees 2 columns to each side and, from the row above on, 3 rows; the next one column and row more.
    rows, columns = 3 + num_layers - 1, 2 + num_layers - 1
    for (c, i, j), (d, k, m) in product(*[list(product(range(C), range(H), range(W)))] * 2):
        in_reach = i - rows <= k and j - columns <= m <= j + columns
        assert seen[c, i, j, d, k, m] == (in_reach and (k, m, d) < (i, j, c)), ((c, i, j), (d, k, m))


def test_one_layer_of_a_wide_kernel_sees_all_earlier_pixels():
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


def test_dropout_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match=r"model\.dropout=1\.0: expected a finite number, at least 0 and less than 1"):
        build("model=pixelcnn_gated", "model.dropout=1.0")
