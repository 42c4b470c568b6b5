"""PixelCNN++: no look ahead over any number of scales, and the same numbers pixel by pixel."""

import math
from itertools import product

import pytest
import torch
from support import build
from torch import Tensor, nn

from pmodel.nets.autoregressive import Steps
from pmodel.nets.pixelcnn_pp import PixelCNNppNetwork


def network(
    num_channels: int, num_blocks: int = 1, num_scales: int = 3, condition_channels: int = 0
) -> PixelCNNppNetwork:
    """Random weights and biases, 5 outputs, float64."""
    torch.manual_seed(num_channels)
    net = PixelCNNppNetwork(num_channels, 5, 4, num_blocks, num_scales, 0.5, condition_channels)
    for parameter in net.double().parameters():
        nn.init.normal_(parameter, std=0.3)
    return net.eval()


def images(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64) * 2 - 1


def forget(steps: Steps) -> None:
    """Makes the pixels of the row anything."""
    for present in steps.inputs:
        present.fill_(math.nan)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["none", "label", "map"])
@pytest.mark.parametrize(("height", "width", "num_scales"), [(7, 5, 3), (8, 8, 4), (8, 8, 2), (5, 6, 1)])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_steps_equal_the_forward_pass_and_read_no_pixel_too_early(num_channels, height, width, num_scales, kind):
    C, H, W = num_channels, height, width
    condition = {"none": None, "label": images(2, 4, 1, 1), "map": images(2, 4, H, W)}[kind]
    net = network(C, 2, num_scales, 0 if condition is None else 4)
    x = images(2, C, H, W)
    expected = net(x, condition)
    steps = net.steps(2, W, condition)
    forget(steps)
    for i in range(H):
        steps.start_row(i)
        forget(steps)
        for j in range(W):
            torch.testing.assert_close(steps.pixel(j), expected[:, :, i, j], rtol=1e-9, atol=1e-9)
            # A pixel may be asked for again.
            torch.testing.assert_close(steps.pixel(j), expected[:, :, i, j], rtol=1e-9, atol=1e-9)
            steps.inputs[j][:] = x[:, :, i, j]


@pytest.mark.parametrize("num_scales", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(7, 5), (8, 8)])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_jacobian_is_zero_for_this_pixel_and_all_later_ones(num_channels, height, width, num_scales):
    C, H, W = num_channels, height, width
    net = network(C, 2, num_scales)
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x).sum(1), images(1, C, H, W))
    seen = jacobian.ne(0).movedim(4, 6).view(H * W, H * W, C)
    earlier = torch.ones(H * W, H * W).tril(-1).bool()
    assert not seen[~earlier].any()
    # With coarser scales no earlier pixel is out of reach here; where the kernels reach, none is left out.
    for (i, j), (k, m) in product(*[list(product(range(H), range(W)))] * 2):
        if (k, m) < (i, j) and (num_scales > 1 or max(i - k, abs(j - m)) <= 4):
            assert seen[i * W + j, k * W + m].all(), ((i, j), (k, m))


def test_the_ones_beside_the_image_tell_it_from_its_padding():
    # A grey image is 0, as padding is; but only the edge is told apart.
    y = network(1, 1, 1)(torch.zeros(1, 1, 20, 20, dtype=torch.float64))
    inside = y[:, :, 12:, 9:11]
    torch.testing.assert_close(inside, inside[:, :, :1, :1].expand_as(inside))
    assert not torch.isclose(y[0, 0, 0, 0], inside[0, 0, 0, 0])


def test_the_number_of_parameters_is_that_of_the_papers_network():
    h, n, outputs = 160, 5, 100
    net = PixelCNNppNetwork(3, outputs, h, n, 3)

    def block(taps: int, others: int) -> int:
        return 2 * h * h * taps + h + others * 2 * h * h + 4 * h * h * taps + 2 * h

    down, up = block(6, 0) + block(4, 1), block(6, 1) + block(4, 2)
    between = 2 * (h * h * (6 + 4) + 2 * h)
    first, last = 4 * h * (6 + 3 + 2) + 3 * h, h * outputs + outputs
    expected = 3 * n * down + (3 * n + 2) * up + 2 * between + first + last
    assert sum(p.numel() for p in net.parameters()) == expected == pytest.approx(54e6, rel=0.02)


def test_dropout_acts_in_training_alone():
    net, x = network(1), images(1, 1, 6, 6)
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))


def test_more_scales_than_images_can_be_halved_to_are_refused():
    with pytest.raises(ValueError, match=r"model\.num_scales=5: expected 1 to 4, for images of 8×8"):
        build("model=pixelcnn_pp", "model.num_scales=5")
