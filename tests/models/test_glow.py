"""Glow: its convolutions."""

import torch
from support import build

from pmodel.nets.flows.layers import InvertibleConv


def convolutions(*words: str) -> list[InvertibleConv]:
    torch.manual_seed(0)
    return [m for m in build("model=glow", *words)[0].modules() if isinstance(m, InvertibleConv)]


def test_its_convolutions_start_as_rotations():
    found = convolutions("model.num_steps=2", "model.num_scales=2")
    assert [len(m.sign) for m in found] == [4, 4, 8, 8]
    for layer in found:
        weight = layer(torch.eye(len(layer.sign))[:, :, None, None])[0].flatten(1)
        torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), rtol=0, atol=1e-5)
        # Of |det| = 1, to rounding.
        assert layer.log_scale.sum().abs() < 1e-5


def test_a_single_channel_that_can_not_be_squeezed_has_checkerboards():
    assert convolutions("data=image_folder", "data.shape=[1,11,9]", "data.num_classes=2", "data.path=x") == []
