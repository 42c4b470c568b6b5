"""PixelCNN: what its file alone promises; the family's properties are in test_autoregressive."""

import pytest
import torch
from support import build

from pmodel.nets.masked_conv import MaskedConv2d, channel_groups


def test_blocks_are_those_of_the_paper():
    model, _ = build("model=pixelcnn", "data=mnist", "data.binarize=dynamic", "model.hidden_channels=16")
    block = model.network.blocks[0]
    assert [conv.weight.shape[:2] for conv in (block.down, block.conv, block.up)] == [(16, 32), (16, 16), (32, 16)]
    assert model.network.first.weight.shape == (32, 1, 4, 7)


def test_masks_of_colour_let_red_feed_green_and_green_feed_blue():
    centre = {mask: MaskedConv2d(3, 6, 3, mask, num_channels=3).mask[:, :, -1, 1] for mask in ("A", "B")}
    assert centre["A"].tolist() == [[0, 0, 0]] * 2 + [[1, 0, 0]] * 2 + [[1, 1, 0]] * 2
    assert centre["B"].tolist() == [[1, 0, 0]] * 2 + [[1, 1, 0]] * 2 + [[1, 1, 1]] * 2


def test_features_are_shared_out_evenly_and_in_order():
    assert channel_groups(8, 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert channel_groups(6, 3, repeats=2).tolist() == [0, 1, 2, 0, 1, 2]


def test_masking_leaves_the_weights_as_they_are():
    conv = MaskedConv2d(3, 3, 5, "A", num_channels=3)
    before = conv.weight.clone()
    conv(torch.randn(2, 3, 6, 6)).sum().backward()
    assert torch.equal(conv.weight, before)
    assert not conv.weight.grad[conv.mask == 0].any()
    assert conv.weight.grad[conv.mask == 1].all()


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("data.dequantize=true", "data.num_levels=null: expected images on levels"),
        ("data=points", r"data.shape=\[2\]: expected images \[C, H, W\]"),
        (
            "model.data_shape=[3,8,8] model.hidden_channels=2",
            "model.hidden_channels=2: expected at least 3, one for each",
        ),
        (
            "model.num_classes=null model.class_conditional=true",
            "model.class_conditional=true: expected data.num_classes, the number of labels, and it is null",
        ),
    ],
)
def test_settings_and_data_out_of_range_are_refused(override, line):
    with pytest.raises(ValueError, match=line):
        build("model=pixelcnn", *override.split())


def test_colour_takes_the_smallest_kernels():
    build("model=pixelcnn", "model.data_shape=[3,8,8]", "model.kernel_size=1", "model.first_kernel_size=1")


def test_samples_under_autocast_are_those_without():
    model = build("model=pixelcnn", "data.binarize=threshold")[0].eval()
    plain = model.sample(3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.sample(3, generator=torch.Generator().manual_seed(0)), plain)
