"""Fully connected encoder and decoder, for images and for points."""

import itertools
import math

import torch
from torch import Tensor, nn

from pmodel.nets.activations import Activation, activation_layer
from pmodel.settings.ranges import Count, Counts


def mlp(sizes: list[int], activation: Activation) -> nn.Sequential:
    """Linear layers between consecutive sizes, with activations between them and none at the end."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation_layer(activation)]
    return nn.Sequential(*layers[:-1])


class MLPEncoder(nn.Module):
    """Examples (B, *data_shape) → outputs (B, num_outputs)."""

    def __init__(
        self, data_shape: Counts, num_outputs: Count, hidden_dims: list[Count], activation: Activation = "relu"
    ):
        super().__init__()
        self.net = mlp([math.prod(data_shape), *hidden_dims, num_outputs], activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1))


class MLPDecoder(nn.Module):
    """Codes (B, latent_dim) → (B, *output_shape)."""

    def __init__(
        self, latent_dim: Count, output_shape: Counts, hidden_dims: list[Count], activation: Activation = "relu"
    ):
        super().__init__()
        self.output_shape = torch.Size(output_shape)
        self.net = mlp([latent_dim, *hidden_dims, math.prod(output_shape)], activation)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).unflatten(1, self.output_shape)
