"""What the networks of all autoregressive models share: whole images in training, pixel by pixel in sampling."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Steps(ABC):
    """A network applied pixel by pixel in raster order to B images, remembering what later pixels need of it.

    For each row `start_row`, then for each column `pixel`, as often as more of that pixel is known; its values are
    written into `inputs[j]` (B, C), in [−1, 1]. A value that may not be seen yet has no influence, if it is a number.

    After the first period, every period of rows is the same work on the same tensors (`models/raster_order.py`).

    Args:
        condition: (B, E, H, W) or (B, E, 1, 1); one for each row makes all rows different.
        period: a number of rows; None: all rows are different.
    """

    inputs: list[Tensor]

    def __init__(self, condition: Tensor | None, period: int | None = 1):
        self.period = period if condition is None or condition.shape[2] == 1 else None

    @abstractmethod
    def start_row(self, i: int) -> None:
        """Turns to row i; all rows above are known."""

    @abstractmethod
    def pixel(self, j: int) -> Tensor:
        """The network's outputs (B, P) at column j, good until the next call."""


class AutoregressiveNetwork(nn.Module, ABC):
    """Images (B, C, H, W) in [−1, 1] → outputs (B, P, H, W), each of which depends on earlier sub-pixels alone.

    Sub-pixels come row by row, in a row from left to right, in a pixel by channels. The P outputs of a position are C
    equal shares, one for each channel; channel c's may depend on the channels before it of the same pixel.
    A network without masks for the channels (`whole_pixels`) sees none of that pixel.

    Args of all: num_channels C, num_outputs P, and condition_channels E of what every layer is told; 0: nothing.
    """

    whole_pixels = False

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """condition: (B, E, H, W) or (B, E, 1, 1), seen by every position, for networks that were built for one."""

    @abstractmethod
    def steps(self, batch_size: int, width: int, condition: Tensor | None = None) -> Steps:
        """The same outputs pixel by pixel, with the weights as they are now, without gradients."""
