"""Multi-scale PixelRNN (van den Oord et al., Pixel Recurrent Neural Networks, 2016, arXiv 1601.06759, section 3.6)."""

from typing import Any

import torch
from torch import Generator, Tensor, nn

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.models.raster_order import draw_in_raster_order
from pmodel.nets.pixelrnn import PixelRNNNetwork
from pmodel.processes.bar import Bar
from pmodel.settings.ranges import Count, Two


class MultiScalePixelRNN(AutoregressiveModule):
    """p(x) = p(s) p(x | s): an unconditional PixelRNN of the small image s, which is every `factor`-th pixel of every
    `factor`-th row of x, and a conditional one of the whole. Both have Diagonal BiLSTMs.

    Transposed convolutions turn s into a map of x's size, which every layer of the second network is told. That one
    sees all of s at once, also what stands below.

    All of s is drawn first, and knows nothing of the other pixels of x. So `complete` draws a hidden pixel of s given
    earlier pixels of s alone: of a known upper half, the lower half's pixels of s see every `factor`-th pixel of every
    `factor`-th row, and only the pixels between them see all of it.

    Deviation: the second network gives no probabilities to the pixels of s, which are known by then. In the paper it
    does, and p(s) p(x | s) doesn't sum to one over all x.

    Args:
        factor: how many times smaller s is, in height and in width.
        condition_features: of the map.
        num_small_layers, num_layers: residual LSTM blocks of the small image's network, and of the other.
        hidden_channels, first_kernel_size, head_channels: of both networks; see `PixelRNNNetwork`.
    """

    def __init__(
        self,
        factor: Two,
        condition_features: Count,
        hidden_channels: Count,
        num_small_layers: Count,
        num_layers: Count,
        head_channels: Count,
        first_kernel_size: Count,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        if factor > max(self.data_shape[1:]):
            raise ValueError(
                f"model.factor={factor}: expected no more than the images of {self.data_shape[1]}×{self.data_shape[2]}"
                " have rows or columns"
            )
        self.factor = factor
        self.small = self.build(PixelRNNNetwork, scan="diagonal", num_layers=num_small_layers)
        self.upsample = nn.Sequential(
            nn.Conv2d(self.num_channels, condition_features, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(condition_features, condition_features, factor, stride=factor),
            nn.ReLU(),
            nn.Conv2d(condition_features, condition_features, 3, padding=1),
            nn.ReLU(),
        )
        told = self.condition_channels + condition_features
        self.network = self.build(PixelRNNNetwork, scan="diagonal", condition_channels=told)

    def _small(self, x: Tensor) -> Tensor:
        """s, (…, ⌈H/factor⌉, ⌈W/factor⌉); a view."""
        return x[..., :: self.factor, :: self.factor]

    def drawing_order(self) -> Tensor:
        later = torch.ones(self.data_shape[1:], dtype=torch.bool)
        self._small(later).fill_(False)
        return later.flatten().int().argsort(stable=True)

    def _told(self, small: Tensor, label: Tensor | None) -> Tensor:
        """What the second network is told: the map of s, in [−1, 1], and the label, (B, E, H, W)."""
        height, width = self.data_shape[1:]
        told = self.upsample(small)[:, :, :height, :width]
        if label is None or self.num_classes is None:
            return told
        return torch.cat([told, self._condition(label).expand(-1, -1, height, width)], dim=1)

    def _parameters_of(self, x: Tensor, label: Tensor | None) -> Tensor:
        x = (2 * x - 1).to(next(self.parameters()).dtype)
        condition, small = self._condition(label), self._small(x)
        parameters = self.network(x, self._told(small, label)).clone()
        self._small(parameters).copy_(self.small(small.contiguous(), condition))
        return parameters

    def _fill(self, x: Tensor, known: Tensor, label: Tensor | None, generator: Generator | None, bar: Bar) -> Tensor:
        small = self._small(x)
        steps = self.small.steps(len(x), small.shape[3], self._condition(label))
        small = draw_in_raster_order(steps, self.likelihood, small, self._small(known), False, generator)
        x, known = x.clone(), known.clone()
        self._small(x).copy_(small)
        self._small(known).fill_(True)
        told = self._told((2 * small - 1).to(next(self.parameters()).dtype), label)
        steps = self.network.steps(len(x), x.shape[3], told)
        return draw_in_raster_order(steps, self.likelihood, x, known, False, generator, bar)
