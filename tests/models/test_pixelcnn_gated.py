"""The Gated PixelCNN: what its file alone promises; the family's properties are in test_autoregressive."""

import pytest

from pmodel.nets.gated_pixelcnn import GatedPixelCNNNetwork


def test_ten_layers_of_128_have_about_3_4_million_parameters():
    net = GatedPixelCNNNetwork(1, 1, 128, 10, 3, 7, 128)
    # Per layer: 2×3 and 1×3 convolutions of 128 → 256, 1×1 of 256 → 256 and of 128 → 128, and biases.
    later = 128 * 256 * (6 + 3) + 256**2 + 128**2 + 256 + 256 + 128
    first = 256 * (4 * 7 + 7) + 256**2 + 128**2 + 256 + 256 + 128
    head = 128**2 + 128 + 128 + 1
    assert sum(p.numel() for p in net.parameters()) == 9 * later + first + head == pytest.approx(3.4e6, rel=0.04)
