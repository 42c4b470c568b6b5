"""PixelRNN with Row LSTMs: what its file alone promises; the family's properties are in test_autoregressive."""

import torch
from support import build

from pmodel.nets.row_lstm import lattice_of

PAPER = ["data=mnist", "data.binarize=dynamic", "model.hidden_channels=16", "model.num_layers=7"]


def test_blocks_are_those_of_the_paper():
    model, _ = build("model=pixelrnn_row", *PAPER)
    lstm = model.network.lstms[0]
    assert lstm.input.weight.shape == (4 * 16, 32, 1, 3)
    # Mask B of one channel: the pixel to the left and this one.
    assert lstm.input.mask[0, 0, 0].tolist() == [1, 1, 0]
    assert lstm.state.shape == (1, 3, 16, 4 * 16)


def test_scan_takes_a_step_per_row():
    assert lattice_of(28, 20, torch.device("cpu"))[0].counts == [20] * 28
