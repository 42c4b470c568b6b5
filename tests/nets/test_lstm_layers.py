"""The LSTM layers of PixelRNN against slow loops written straight from the paper's equations (arXiv 1601.06759)."""

import pytest
import torch
from torch import Tensor

from pmodel.nets.diagonal_lstm import DiagonalBiLSTM
from pmodel.nets.row_lstm import RowLSTM

SIZES = [(7, 5), (3, 6), (4, 4), (1, 5), (5, 1)]
FEATURES, HIDDEN, BATCH = 4, 3, 2


def random_weights(layer: torch.nn.Module) -> torch.nn.Module:
    """The layer in float64, none of its weights zero."""
    torch.manual_seed(0)
    for parameter in layer.double().parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Equation 3: h and c (…, h) of the gates' inputs (…, 4h), o, i, f, g, and the memory before."""
    o, i, f, g = gates.chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def row_lstm(layer: RowLSTM, x: Tensor) -> Tensor:
    """Section 3.1: both convolutions as sums over their taps. x (H, W, B, I) → (H, W, B, h)."""
    height, width, batch, _ = x.shape
    input_to_state, state_to_state = layer.input.masked_weight, layer.state[0]
    h0, c0 = layer.initial_h[0].expand(batch, -1), layer.initial_c[0].expand(batch, -1)
    h, c = {}, {}
    for i in range(height):
        for j in range(width):
            gates = layer.input.bias
            for tap in (0, 1, 2):
                if 0 <= j + tap - 1 < width:
                    gates = gates + x[i, j + tap - 1] @ input_to_state[:, :, 0, tap].T
                gates = gates + h.get((i - 1, j + tap - 1), h0) @ state_to_state[tap]
            h[i, j], c[i, j] = cell(gates, c.get((i - 1, j), c0))
    return torch.stack([torch.stack([h[i, j] for j in range(width)]) for i in range(height)])


def diagonal_lstm(layer: DiagonalBiLSTM, x: Tensor, image: Tensor, direction: int) -> Tensor:
    """Section 3.2, one direction from the left: the map is skewed, each row one column further than the one above, and
    scanned column by column with a 2×1 convolution; then it is skewed back. (H, W, B, I) → (H, W, B, h)."""
    height, width, batch, _ = x.shape
    weight = layer.input.masked_weight[:, :, 0, 0].chunk(2)[direction]
    gates = x @ weight.T + layer.input.bias.chunk(2)[direction]
    if direction == 1:
        gates = gates + image @ layer.pixel
    skewed = gates.new_zeros(height, width + height - 1, batch, gates.shape[3])
    for i in range(height):
        skewed[i, i : i + width] = gates[i]
    above, beside = layer.state[direction]
    h0 = layer.initial_h[direction].expand(height, batch, -1)
    h, c, columns = h0, layer.initial_c[direction].expand(height, batch, -1), []
    for t in range(width + height - 1):
        shifted = torch.cat([h0[:1], h[:-1]])
        new_h, new_c = cell(skewed[:, t] + shifted @ above + h @ beside, c)
        # A row that has not begun yet stays in its initial state.
        begun = (torch.arange(height) <= t)[:, None, None]
        h, c = torch.where(begun, new_h, h), torch.where(begun, new_c, c)
        columns.append(h)
    states = torch.stack(columns, dim=1)
    return torch.stack([states[i, i : i + width] for i in range(height)])


def diagonal_bilstm(layer: DiagonalBiLSTM, x: Tensor, image: Tensor) -> Tensor:
    """Both directions, the second one mirrored and moved down by a row."""
    right = diagonal_lstm(layer, x, image, 0)
    left = diagonal_lstm(layer, x.flip(1), image.flip(1), 1).flip(1)
    return right + torch.cat([torch.zeros_like(left[:1]), left[:-1]])


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize("kind", ["row", "diagonal"])
def test_layer_and_its_gradients_equal_the_papers_equations(kind: str, num_channels: int, size: tuple[int, int]):
    layer = random_weights({"row": RowLSTM, "diagonal": DiagonalBiLSTM}[kind](FEATURES, HIDDEN, num_channels))
    x = torch.randn(*size, BATCH, FEATURES, dtype=torch.float64, requires_grad=True)
    image = torch.randn(*size, BATCH, num_channels, dtype=torch.float64)
    ours = layer(x, image)
    theirs = row_lstm(layer, x) if kind == "row" else diagonal_bilstm(layer, x, image)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    ours_and_theirs = [
        torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()], allow_unused=True, materialize_grads=True)
        for y in (ours, theirs)
    ]
    for a, b in zip(*ours_and_theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_condition_is_a_bias_of_the_gates_at_each_position():
    size = (3, 4)
    layer = random_weights(DiagonalBiLSTM(FEATURES, HIDDEN, 1, condition_channels=2))
    x = torch.randn(*size, BATCH, FEATURES, dtype=torch.float64)
    image, told = torch.randn(*size, BATCH, 1).double(), torch.randn(2).double()
    with_condition = layer(torch.cat([x, told.expand(*size, BATCH, 2)], dim=3), image)
    plain = DiagonalBiLSTM(FEATURES, HIDDEN, 1).double()
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if not k.startswith("input.condition")})
    with torch.no_grad():
        plain.input.bias += layer.input.condition.weight[:, :, 0, 0] @ told
    torch.testing.assert_close(with_condition, plain(x, image))


def test_scan_keeps_its_precision_under_autocast():
    layer = random_weights(DiagonalBiLSTM(FEATURES, HIDDEN, 1)).float()
    x, image = torch.randn(6, 6, BATCH, FEATURES), torch.randn(6, 6, BATCH, 1)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x, image)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, layer(x, image), atol=0.05, rtol=0.05)


def test_gradients_of_the_scan_keep_their_precision_under_autocast():
    layer = random_weights(DiagonalBiLSTM(FEATURES, HIDDEN, 1)).float()
    x, image = torch.randn(6, 6, BATCH, FEATURES), torch.randn(6, 6, BATCH, 1)
    y = layer(x, image).square().sum()
    weights = [layer.state, layer.initial_h, layer.initial_c]
    apart = torch.autograd.grad(y, weights, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        within = torch.autograd.grad(y, weights)
    for one, other in zip(apart, within, strict=True):
        assert torch.equal(one, other)
