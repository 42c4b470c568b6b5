"""Layers of normalizing flows without a network: scales, permutations, and shapes.

Each is an invertible map of examples x (B, …): `forward` gives z and log |det ∂z/∂x| of each, (B,), in nats; `inverse`
gives x back.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FlowLayer(nn.Module):
    """x ↔ z with z of as many numbers as x."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z, and log |det ∂z/∂x|, (B,)."""
        raise NotImplementedError

    def inverse(self, z: Tensor) -> Tensor:
        """The x of z."""
        raise NotImplementedError


class Sequence(FlowLayer):
    """One layer after the other."""

    def __init__(self, *layers: FlowLayer):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor) -> Tensor:
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z


class Flatten(FlowLayer):
    """(B, *shape) → (B, D)."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        return z.view(-1, *self.shape)


class Squeeze(FlowLayer):
    """(B, C, H, W) → (B, 4C, H/2, W/2): each 2×2 square of pixels becomes the channels of one (RealNVP, 3.6)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        return F.pixel_shuffle(z, 2)


class Logit(FlowLayer):
    """z = logit(α + (1 − 2α) x) of x in [0, 1] (Dinh et al., Density estimation using Real NVP, 2016, arXiv 1605.08803,
    section 4.1, where it is α + (1 − α) x, which reaches 1); outside, a little of the line goes on."""

    def __init__(self, alpha: float):
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # 1 − p by itself: near 1 it has more digits.
        log_p, log_rest = ((self.alpha + (1 - 2 * self.alpha) * part).log() for part in (x, 1 - x))
        log_det = math.log(1 - 2 * self.alpha) - log_p - log_rest
        return log_p - log_rest, log_det.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        return (z.sigmoid() - self.alpha) / (1 - 2 * self.alpha)


class ActNorm(FlowLayer):
    """z = exp(s) (x − μ) / σ + b of each channel of images, or each dimension of vectors, with s and b learned (Glow,
    section 3.1); μ and σ are those of the examples that it sees first.

    They are buffers beside s and b, which start at 0: averages of the weights then hold no layer from before them.
    """

    def __init__(self, num_channels: int):
        super().__init__()
        self.log_scale, self.shift = (nn.Parameter(torch.zeros(num_channels)) for _ in range(2))
        self.register_buffer("mean", torch.zeros(num_channels))
        self.register_buffer("std", torch.ones(num_channels))
        # While it does so, `forward` takes μ and σ from x.
        self.is_measuring = False

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.is_measuring:
            per_channel = x.transpose(0, 1).flatten(1).double()
            self.mean.copy_(per_channel.mean(1))
            # A channel that is constant has no scale.
            self.std.copy_(per_channel.std(1, correction=0).clamp_min(1e-4))
        shape = (-1, *[1] * (x.dim() - 2))
        z = (x - self.mean.view(shape)) * self._scale.view(shape) + self.shift.view(shape)
        log_det = (self.log_scale - self.std.log()).sum() * x[0, 0].numel()
        return z, log_det.expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        shape = (-1, *[1] * (z.dim() - 2))
        return (z - self.shift.view(shape)) / self._scale.view(shape) + self.mean.view(shape)

    @property
    def _scale(self) -> Tensor:
        return self.log_scale.exp() / self.std


@torch.no_grad()
def measure(flow: nn.Module, x: Tensor) -> None:
    """Has each `ActNorm` of a flow take μ and σ from what reaches it of examples x."""
    layers = [layer for layer in flow.modules() if isinstance(layer, ActNorm)]
    for layer in layers:
        layer.is_measuring = True
    try:
        flow(x)
    finally:
        for layer in layers:
            layer.is_measuring = False


class InvertibleConv(FlowLayer):
    """A 1×1 convolution z = W x of images with an invertible W (C, C), a rotation at first; log |det| = H W Σ log |s|
    (Kingma & Dhariwal, Glow, 2018, arXiv 1807.03039, section 3.2).

    W = P L (U + diag(s)): P is a permutation and stays, L has ones on its diagonal and U zeros; signs of s stay too.
    """

    def __init__(self, num_channels: int):
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(num_channels, num_channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        s = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", s.sign())
        self.log_scale = nn.Parameter(s.abs().log())
        # One channel has nothing below or above its diagonal.
        self.has_triangles = num_channels > 1
        self.lower, self.upper = (
            nn.Parameter(part) if self.has_triangles else part for part in (lower.tril(-1), upper.triu(1))
        )

    def _factors(self) -> tuple[Tensor, Tensor]:
        """L and U + diag(s)."""
        scale = torch.diag(self.sign * self.log_scale.exp())
        if not self.has_triangles:
            return torch.ones_like(scale), scale
        identity = torch.eye(len(self.sign), dtype=scale.dtype, device=scale.device)
        return self.lower.tril(-1) + identity, self.upper.triu(1) + scale

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # In bfloat16 the inverse would be another one.
        with torch.autocast(x.device.type, enabled=False):
            lower, upper = self._factors()
            # Not a convolution, which a GPU rounds to fewer digits than the inverse has.
            z = (self.permutation @ lower @ upper @ x.flatten(2)).view_as(x)
        return z, (self.log_scale.sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            lower, upper = self._factors()
            columns = self.permutation.T @ z.flatten(2)
            columns = torch.linalg.solve_triangular(lower, columns, upper=False, unitriangular=True)
            return torch.linalg.solve_triangular(upper, columns, upper=True).view_as(z)
