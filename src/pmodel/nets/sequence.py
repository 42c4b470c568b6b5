"""Images as sequences of sub-pixels, for networks that have weights of their own for each place."""

import torch
from torch import Tensor

from pmodel.nets.autoregressive import Steps


def to_sequence(x: Tensor) -> Tensor:
    """Images (B, C, H, W) as their sub-pixels in raster order, (B, D) with D = H·W·C."""
    return x.permute(0, 2, 3, 1).flatten(1)


def from_sequence(parameters: Tensor, data_shape: tuple[int, ...]) -> Tensor:
    """p parameters of each sub-pixel, (B, D, p), as those of pixels, (B, C·p, H, W)."""
    _, height, width = data_shape
    return parameters.reshape(len(parameters), height, width, -1).permute(0, 3, 1, 2)


def told(condition: Tensor, data_shape: tuple[int, ...]) -> Tensor:
    """What each sub-pixel is told, (B, D, E), of a condition (B, E, H, W) or (B, E, 1, 1)."""
    C, H, W = data_shape
    return to_sequence(condition.expand(-1, -1, H, W)).view(len(condition), H * W, -1).repeat_interleave(C, 1)


class SequenceSteps(Steps):
    """Steps of a network that has seen all values of earlier pixels when it comes to the next one.

    A subclass has `advance`, which takes in the value of a sub-pixel that is known, and `outputs`.

    Args:
        data_shape: (C, H, W).
        like: a tensor of the device and the type of what is computed.
    """

    def __init__(self, data_shape: tuple[int, ...], batch_size: int, like: Tensor):
        # Weights differ from place to place, so no row is another one's work.
        super().__init__(None, period=None)
        C, H, W = data_shape
        self._x = like.new_zeros(batch_size, H, W, C)
        self._sequence = self._x.view(batch_size, -1)
        self._num_channels, self._width, self._known = C, W, 0

    def start_row(self, i: int) -> None:
        self.inputs = list(self._x[:, i].unbind(1))
        self._row = i

    def pixel(self, j: int) -> Tensor:
        first = (self._row * self._width + j) * self._num_channels
        for d in range(self._known, first):
            self.advance(d, self._sequence[:, d])
        self._known = first
        last = first + self._num_channels
        return self.outputs(first, last, self._sequence[:, first : last - 1]).flatten(1)

    def advance(self, d: int, value: Tensor) -> None:
        """Takes in the value (B,) of sub-pixel d; all before it were taken in."""

    def outputs(self, first: int, last: int, present: Tensor) -> Tensor:
        """The parameters (B, C, p) of sub-pixels first … last − 1, of one pixel, given all before it and the values
        `present` (B, C − 1) of its own channels but the last."""
        raise NotImplementedError


def earlier(size: int, like: Tensor) -> Tensor:
    """1 where column < row, (size, size)."""
    return torch.ones(size, size, device=like.device, dtype=like.dtype).tril(-1)
