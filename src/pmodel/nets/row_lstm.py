"""The Row LSTM layer of PixelRNN, over whole images and pixel by pixel."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.lstm_scan import NUM_GATES, Lattice, activate, gate_bias, scan
from pmodel.nets.masked_conv import ConvSteps, MaskedConv2d


class RowLSTM(nn.Module):
    """An LSTM that scans the image from top to bottom, a row at each step (arXiv 1601.06759, section 3.1).

    The state at (i, j) comes from the three states around (i − 1, j), the paper's 3×1 state-to-state convolution, with
    the memory of the middle one; the input-to-state convolution is 3×1 with mask B. So it sees a triangle above each
    pixel, and not what lies further to its sides. States outside of the image are learned.

    Args:
        in_features, hidden_channels: I and h.
        num_channels: C of the image.
        condition_channels: see `MaskedConv2d`.
        first: of no effect.
    """

    def __init__(
        self, in_features: int, hidden_channels: int, num_channels: int, condition_channels: int = 0, first: bool = True
    ):
        super().__init__()
        h = self.hidden_channels = hidden_channels
        self.input = MaskedConv2d(
            in_features,
            NUM_GATES * h,
            3,
            "B",
            num_channels,
            repeats=NUM_GATES,
            condition_channels=condition_channels,
            rows_above=False,
        )
        with torch.no_grad():
            self.input.bias.copy_(gate_bias(h))
        # Of the neighbours above: to the left, in the middle, to the right.
        self.state = nn.Parameter(torch.empty(1, 3, h, NUM_GATES * h).uniform_(-1, 1).div_(math.sqrt(3 * h)))
        self.initial_h, self.initial_c = nn.Parameter(torch.zeros(1, h)), nn.Parameter(torch.zeros(1, h))

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Features (H, W, B, I + E) → (H, W, B, h); the image is not looked at."""
        height, width, B, _ = x.shape
        I = self.input.weight.shape[1]  # noqa: E741
        # The pixel to the left, then this one with the condition: one product.
        windows = torch.cat([F.pad(x[..., :I], (0, 0, 0, 0, 1, 0))[:, :-1], x], dim=3)
        left = self.input.masked_weight[:, :, 0, 0].T
        gates = windows.flatten(0, 2) @ torch.cat([left, self.input.joint_matrix()]) + self.input.bias
        lattice, order = lattice_of(height, width, x.device)
        h = scan(
            gates.view(1, height * width, B, gates.shape[1]), self.state, self.initial_h, self.initial_c, lattice, order
        )
        return h[0].unflatten(0, (height, width))


@torch.compiler.disable
@cache
@torch.inference_mode(False)  # kept, and later saved for a backward pass
def lattice_of(height: int, width: int, device: torch.device) -> tuple[Lattice, Tensor]:
    """The rows of an image, whose cells are in raster order."""
    lattice = Lattice([width] * height, 3, 1, [1] * height, device)
    return lattice, torch.arange(height * width, device=device)[None]


class RowLSTMSteps:
    """All Row LSTM layers of a network pixel by pixel, for B images at once; see `DiagonalBiLSTMSteps`."""

    def __init__(self, layers: list[RowLSTM], batch_size: int, width: int, condition: Tensor | None):
        h = layers[0].hidden_channels
        self._convs = [ConvSteps(layer.input, batch_size, width, condition) for layer in layers]
        self.inputs = [conv.inputs for conv in self._convs]
        self._state = [layer.state.detach().flatten(0, 2) for layer in layers]
        h0, c0 = (
            torch.stack([getattr(m, name)[0] for m in layers]).detach()[:, None, None]
            for name in ("initial_h", "initial_c")
        )
        # The row above, with a state beyond either end, and this one.
        self._above = h0.expand(-1, width + 2, batch_size, h).clone()
        self._h, self._c = self._above[:, 1:-1].clone(), c0.expand(-1, width, batch_size, h).clone()
        self._c_above = self._c.clone()
        self._hs, self._cs, self._cs_above = ([list(row) for row in x] for x in (self._h, self._c, self._c_above))

    def start_row(self, i: int, image: Tensor) -> None:
        """Turns to row i; the rows before it are done. The image is not looked at."""
        self._above[:, 1:-1] = self._h
        self._c_above.copy_(self._c)
        for conv, above, state in zip(self._convs, self._above, self._state, strict=True):
            # (W, B, h, 3) → (W, B, 3h): the order of the weight's rows.
            conv.start_row(i, above.unfold(0, 3, 1).movedim(3, 2).flatten(2) @ state)

    def pixel(self, layer: int, j: int) -> Tensor:
        """The output (B, h) of a layer at column j."""
        o, i, f, g = activate(self._convs[layer].pixel(j))
        c = torch.mul(f, self._cs_above[layer][j], out=self._cs[layer][j]).addcmul_(i, g)
        return torch.mul(o, c.tanh(), out=self._hs[layer][j])
