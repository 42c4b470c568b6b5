"""The Diagonal BiLSTM layer of PixelRNN, over whole images and pixel by pixel."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.lstm_scan import NUM_GATES, Lattice, activate, gate_bias, scan
from pmodel.nets.masked_conv import MaskedConv2d


class DiagonalBiLSTM(nn.Module):
    """Two LSTMs that scan the image along its diagonals (arXiv 1601.06759, section 3.2), h outputs each, added up.

    The first goes right: its state at (i, j) comes from (i, j − 1), with the memory, and (i − 1, j), the paper's 2×1
    state-to-state convolution of a skewed image. The second is its mirror image, so its state at (i, j) has seen
    pixels to the right of j; it is shifted down by a row before the sum. The input-to-state convolution is 1×1 with
    mask B. States outside of the image are learned; the forget gate's bias starts at 1.

    Deviation: in the first layer the second direction also reads the pixels themselves, which it may, a row later. The
    paper feeds it features that don't know their own pixel, so the last pixel of a row is lost to the next row but for
    the reach of the first convolution. With them, every position sees every earlier pixel, at any depth.

    Nothing is skewed: the cells of a diagonal are gathered next to each other, without the paper's padding, which
    would double the work, and both directions are scanned at once. H + W − 1 steps.

    Args:
        in_features, hidden_channels: I and h.
        num_channels: C of the image.
        condition_channels: see `MaskedConv2d`.
        first: whether the second direction reads the image too.
    """

    def __init__(
        self, in_features: int, hidden_channels: int, num_channels: int, condition_channels: int = 0, first: bool = True
    ):
        super().__init__()
        h = self.hidden_channels = hidden_channels
        self.input = MaskedConv2d(
            in_features,
            2 * NUM_GATES * h,
            1,
            "B",
            num_channels,
            repeats=2 * NUM_GATES,
            condition_channels=condition_channels,
        )
        with torch.no_grad():
            self.input.bias.copy_(gate_bias(h).repeat(2))
        pixel = torch.empty(num_channels, NUM_GATES * h).uniform_(-1, 1).div_(math.sqrt(in_features))
        self.register_parameter("pixel", nn.Parameter(pixel) if first else None)
        # Of both directions and both neighbours: the one above, the one beside.
        self.state = nn.Parameter(torch.empty(2, 2, h, NUM_GATES * h).uniform_(-1 / math.sqrt(h), 1 / math.sqrt(h)))
        self.initial_h, self.initial_c = nn.Parameter(torch.zeros(2, h)), nn.Parameter(torch.zeros(2, h))

    def input_weights(self) -> tuple[Tensor, Tensor]:
        """Weight (2, I + E, 4h) and bias (2, 1, 4h) of the input-to-state product; the condition's features are the
        last E."""
        weight = self.input.joint_matrix()
        return weight.unflatten(1, (2, -1)).movedim(1, 0), self.input.bias.view(2, 1, -1)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Features (H, W, B, I + E) and the image (H, W, B, C) → (H, W, B, h)."""
        height, width, B, _ = x.shape
        lattice, orders, inverses = lattice_of(height, width, x.device)
        weight, bias = self.input_weights()
        if self.pixel is not None:
            x = torch.cat([x, image], dim=3)
            weight = torch.cat([weight, torch.stack([torch.zeros_like(self.pixel), self.pixel])], dim=1)
        cells = x.flatten(0, 1).index_select(0, orders.flatten())
        gates = torch.baddbmm(bias, cells.flatten(0, 1).unflatten(0, (2, -1)), weight).unflatten(1, (height * width, B))
        right, left = scan(gates, self.state, self.initial_h, self.initial_c, lattice, inverses)
        return (right + F.pad(left[:-width], (0, 0, 0, 0, width, 0))).unflatten(0, (height, width))


@torch.compiler.disable
@cache
@torch.inference_mode(False)  # kept, and later saved for a backward pass
def lattice_of(height: int, width: int, device: torch.device) -> tuple[Lattice, Tensor, Tensor]:
    """The diagonals of an image, and for both directions the raster position of each cell and the cell of each raster
    position, (2, H·W)."""
    rows = [range(max(0, t - width + 1), min(height, t + 1)) for t in range(height + width - 1)]
    right = torch.tensor([i * width + t - i for t, diagonal in enumerate(rows) for i in diagonal], device=device)
    left = right // width * width + width - 1 - right % width
    orders = torch.stack([right, left])
    # While diagonals begin in row 0, the first neighbour, which is above it, lies outside.
    places = [int(diagonal.start == 0) for diagonal in rows]
    return Lattice([len(d) for d in rows], 2, 1, places, device), orders, orders.argsort(1)


class DiagonalBiLSTMSteps:
    """All Diagonal BiLSTM layers of a network pixel by pixel, for B images at once: `start_row`, then `pixel` of each
    layer for each column, after its features were written into `inputs[l][j]` (B, I).

    The second direction, which is of use one row later, goes over a whole row when that is done, in all layers at once.
    """

    def __init__(self, layers: list[DiagonalBiLSTM], batch_size: int, width: int, condition: Tensor | None):
        L, B, W, h = len(layers), batch_size, width, layers[0].hidden_channels
        weights, biases = (
            torch.stack(parts).detach() for parts in zip(*(m.input_weights() for m in layers), strict=True)
        )
        state, h0, c0 = (
            torch.stack([getattr(m, name) for m in layers]).detach() for name in ("state", "initial_h", "initial_c")
        )
        I = layers[0].input.weight.shape[1]  # noqa: E741
        self.width = width
        # Of each layer and direction, (L, 2, …).
        self._input, self._up, self._side = weights[:, :, :I], state[:, :, 0], state[:, :, 1]
        self._bias = biases[:, :, 0]
        self._pixel = layers[0].pixel.detach()
        self._condition = None
        if condition is not None:  # (B, E, H or 1, W or 1) → (L, 2, H or 1, W or 1, B, 4h)
            self._condition = torch.einsum("behw,ldef->ldhwbf", condition.to(weights), weights[:, :, I:])
        self._h0, self._c0 = h0[:, :, None, None], c0[:, :, None]
        # The first direction: the features of pixel j beside the state left of it, in the order of one product.
        self._row = weights.new_zeros(L, W + 1, B, I + h)
        self._row[:, 0, :, I:] = h0[:, 0, None]
        self._here = torch.cat([self._input[:, 0], self._side[:, 0]], dim=1).unbind(0)
        self._base = weights.new_empty(L, W, B, NUM_GATES * h)
        self._c = weights.new_empty(L, W + 1, B, h)
        self._c[:, 0] = c0[:, 0, None]
        self._gates = weights.new_empty(B, NUM_GATES * h)
        # The second direction: its states in the row before the present one, and in the one before that.
        self._left = self._h0[:, 1].expand(L, W, B, h).clone()
        # Views that every pixel needs.
        self.inputs = [[self._row[layer, j, :, :I] for j in range(W)] for layer in range(L)]
        self._windows = [list(row) for row in self._row]
        self._bases, self._cs = [list(row) for row in self._base], [list(row) for row in self._c]
        self._hs = [[self._row[layer, j + 1, :, I:] for j in range(W)] for layer in range(L)]
        self._lefts = [list(row) for row in self._left]
        self._I, self._i = I, 0

    def start_row(self, i: int, image: Tensor) -> None:
        """Turns to row i; the rows before it are done. image: the row before it, (B, W, C)."""
        self._i = i
        up = self._row[:, 1:, :, self._I :] if i else self._h0[:, 0].expand_as(self._left)
        if i:
            self._scan_left(i - 1, image)
        torch.matmul(up, self._up[:, 0, None], out=self._base)
        self._base += self._constant(i, 0)

    def _constant(self, i: int, direction: int) -> Tensor:
        """What neither pixels nor states give to the gates of row i, (L, W or 1, B or 1, 4h)."""
        bias = self._bias[:, direction, None, None]
        if self._condition is None:
            return bias
        return bias + self._condition[:, direction, i if self._condition.shape[2] > 1 else 0]

    def _scan_left(self, i: int, image: Tensor) -> None:
        """The second direction over row i, from right to left."""
        x = self._row[:, :-1, :, : self._I]
        gates = x @ self._input[:, 1, None] + self._left @ self._up[:, 1, None] + self._constant(i, 1)
        gates[0] += image.transpose(0, 1) @ self._pixel
        h, c = self._h0[:, 1].expand_as(self._left[:, :1])[:, 0], self._c0[:, 1]
        for j in reversed(range(self.width)):
            o, i_, f, g = activate(gates[:, j].baddbmm_(h, self._side[:, 1]))
            c = f * c + i_ * g
            h = torch.mul(o, c.tanh(), out=self._left[:, j])

    def pixel(self, layer: int, j: int) -> Tensor:
        """The output (B, h) of a layer at column j; a new tensor."""
        torch.addmm(self._bases[layer][j], self._windows[layer][j], self._here[layer], out=self._gates)
        o, i, f, g = activate(self._gates)
        c = torch.mul(f, self._cs[layer][j], out=self._cs[layer][j + 1]).addcmul_(i, g)
        h = torch.mul(o, c.tanh(), out=self._hs[layer][j])
        return h + self._lefts[layer][j] if self._i else h
