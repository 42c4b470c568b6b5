"""PixelCNN++: what its file alone promises; the family's properties are in test_autoregressive."""

import pytest
import torch
from autoregressive_family import small
from support import build

from pmodel.nets.pixelcnn_pp import PixelCNNppNetwork


def test_the_ones_beside_the_image_tell_it_from_its_padding():
    # A grey image is 0, as padding is; but only the edge is told apart.
    network = small("pixelcnn_pp", [1, 20, 20], num_scales=1).network
    y = network(torch.zeros(1, 1, 20, 20, dtype=torch.float64))
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


def test_more_scales_than_images_can_be_halved_to_are_refused():
    with pytest.raises(ValueError, match=r"model\.num_scales=5: expected 1 to 4, for images of 8×8"):
        build("model=pixelcnn_pp", "model.num_scales=5")
