"""Maxout layers (Goodfellow et al.: Maxout Networks, 2013, arXiv 1302.4389)."""

import math

from torch import Tensor, nn

from pmodel.nets.dropout import Dropout
from pmodel.settings.ranges import Count, Counts, Fraction


class Maxout(nn.Module):
    """max over `pieces` linear maps of x: (B, in_features) → (B, out_features)."""

    def __init__(self, in_features: int, out_features: int, pieces: int):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


class MaxoutEncoder(nn.Module):
    """Examples (B, *data_shape) → outputs (B, num_outputs): maxout layers with dropout, then a linear one.

    The discriminator of the first GAN (2014, arXiv 1406.2661): dropout of the input and of each hidden layer.
    """

    def __init__(
        self,
        data_shape: Counts,
        num_outputs: Count,
        hidden_dims: list[Count],
        pieces: Count = 5,
        input_dropout: Fraction = 0.2,
        dropout: Fraction = 0.5,
    ):
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten(), Dropout(input_dropout)]
        width = math.prod(data_shape)
        for hidden in hidden_dims:
            layers += [Maxout(width, hidden, pieces), Dropout(dropout)]
            width = hidden
        self.net = nn.Sequential(*layers, nn.Linear(width, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
