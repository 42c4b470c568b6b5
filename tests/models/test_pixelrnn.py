"""PixelRNN with Diagonal BiLSTMs: what its file alone promises; the family's properties are in test_autoregressive."""

import pytest
import torch
from support import build

from pmodel.nets.diagonal_lstm import lattice_of

PAPER = ["data=mnist", "data.binarize=dynamic", "model.hidden_channels=16", "model.num_layers=7"]


def test_blocks_are_those_of_the_paper():
    model, _ = build("model=pixelrnn", *PAPER, "model.head_channels=32")
    first, lstm, up, head = model.network.first, model.network.lstms[1], model.network.ups[1], model.network.head
    assert first.weight.shape == (32, 1, 4, 7)
    assert len(model.network.lstms) == 7
    assert lstm.input.weight.shape == (2 * 4 * 16, 32, 1, 1)
    assert lstm.state.shape == (2, 2, 16, 4 * 16)
    assert up.weight.shape == (32, 16, 1, 1)
    assert (head.first.weight.shape[0], head.second.weight.shape[0]) == (32, 1)


@pytest.mark.parametrize("height", [3, 12])
def test_last_pixel_of_a_row_is_seen_at_the_start_of_the_next(height):
    # By the second direction, which reads the image itself: no convolution reaches so far.
    model, _ = build("model=pixelrnn", "data.binarize=threshold", "model.first_kernel_size=3", "model.num_layers=1")
    x = torch.rand(1, 1, height, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.network(x)[0, 0, 1, 0], x)
    assert gradient[0, 0, 0].all()
    assert not gradient[0, 0, 1:].any()


def test_scan_takes_a_step_per_diagonal():
    lattice = lattice_of(28, 28, torch.device("cpu"))[0]
    assert len(lattice.counts) == 2 * 28 - 1
    assert sum(lattice.counts) == 28 * 28
