"""Couplings: a part of x stays as it is and decides how the other part is shifted and scaled."""

import torch
from torch import Tensor, nn

from pmodel.nets.flows.layers import FlowLayer
from pmodel.nets.mlp import mlp
from pmodel.nets.precision import upcast

# A coupling multiplies by at most e to this, and by at least e to minus this.
MAX_LOG_SCALE = 2.0


def alternating(num_dims: int, parity: int) -> Tensor:
    """True for each second of D dimensions, (D,)."""
    return torch.arange(num_dims) % 2 == parity


def checkerboard(height: int, width: int, parity: int) -> Tensor:
    """True for each second pixel, like the squares of a board, (1, H, W)."""
    return ((torch.arange(height)[:, None] + torch.arange(width)) % 2 == parity)[None]


def channels(num_channels: int, parity: int) -> Tensor:
    """True for the first half of the channels, or with parity 1 for the others, (C, 1, 1)."""
    return ((torch.arange(num_channels) < (num_channels + 1) // 2) == (parity == 0))[:, None, None]


def bounded(raw: Tensor) -> Tensor:
    """2 tanh(r / 2), the logarithm of a scale."""
    return MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE)


class Coupling(FlowLayer):
    """z = x where `kept`, and x · exp(s) + t elsewhere, with s and t a network's of what is kept (Dinh et al., Density
    estimation using Real NVP, 2016, arXiv 1605.08803); without s the additive one of NICE.

    s = 2 tanh(r / 2) of the network's r, where the papers have a learned bound (RealNVP), or log sigmoid(r + 2) (Glow).
    Unlike theirs, the network's input has all of x, with zeros where it is not kept, on any mask.

    Args:
        kept: what stays, True or False, in the shape of an example or one that it is broadcast to.
        network: (B, C, …) → (B, 2C, …) or, if not `scaled`, (B, C, …); of vectors (B, D) likewise. With a `context`,
            examples of it are appended to its input as channels.
        scaled: whether there is an s.
    """

    def __init__(self, kept: Tensor, network: nn.Module, scaled: bool = True):
        super().__init__()
        # A number: what the network sees is a product.
        self.register_buffer("kept", kept.float(), persistent=False)
        self.network, self.scaled = network, scaled

    def _scale_and_shift(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """s and t, 0 where x is kept; each like x."""
        seen = x * self.kept
        output = upcast(self.network(seen if context is None else torch.cat([seen, context], dim=1)))
        if not self.scaled:
            return torch.zeros_like(output), output * (1 - self.kept)
        raw, shift = output.chunk(2, dim=1)
        return bounded(raw) * (1 - self.kept), shift * (1 - self.kept)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._scale_and_shift(x, context)
        return x * log_scale.exp() + shift, log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        log_scale, shift = self._scale_and_shift(z, context)
        return (z - shift) * (-log_scale).exp()


class ConvNetwork(nn.Module):
    """Images (B, C_in, H, W) → (B, C_out, H, W), zeros at first: residual blocks of a 3×3 and a 1×1 convolution between
    two 3×3 convolutions."""

    def __init__(self, in_channels: int, out_channels: int, hidden_channels: int, num_blocks: int):
        super().__init__()
        self.first = nn.Conv2d(in_channels, hidden_channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(hidden_channels, hidden_channels, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(hidden_channels, hidden_channels, 1),
            )
            for _ in range(num_blocks)
        )
        self.last = nn.Conv2d(hidden_channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden.relu())


class VectorNetwork(nn.Module):
    """Vectors (B, D) → (B, D), zeros at first: a perceptron."""

    def __init__(self, num_dims: int, hidden_dims: list[int]):
        super().__init__()
        self.net = mlp([num_dims, *hidden_dims, num_dims], "relu")
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
