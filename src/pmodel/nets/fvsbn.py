"""The network of fully visible sigmoid belief nets: one matrix."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.autoregressive import AutoregressiveNetwork
from pmodel.nets.sequence import SequenceSteps, earlier, from_sequence, to_sequence, told


class FVSBNNetwork(AutoregressiveNetwork):
    """b_d + Σ_{j<d} W_dj x_j for each sub-pixel d, with p numbers for b and W each; x in [−1, 1].

    Weights start at 0: −log p of bits is convex in them, so any start will do. Biases start apart: components of a
    mixture that are alike stay alike.

    Args:
        data_shape: (C, H, W).
        num_outputs: C·p.
    """

    def __init__(self, data_shape: tuple[int, ...], num_channels: int, num_outputs: int, condition_channels: int = 0):
        super().__init__()
        self.data_shape = torch.Size(data_shape)
        D, p = self.data_shape.numel(), num_outputs // num_channels
        self.weight = nn.Parameter(torch.zeros(D, p, D))
        self.bias = nn.Parameter(0.1 * torch.randn(D, p))
        self.condition = nn.Parameter(torch.zeros(D, p, condition_channels)) if condition_channels else None

    def _biases(self, condition: Tensor | None) -> Tensor:
        """(D, p), or (B, D, p) of each example's condition."""
        if self.condition is None:
            return self.bias
        return self.bias + torch.einsum("bde,dpe->bdp", told(condition, self.data_shape), self.condition)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        D = self.data_shape.numel()
        weight = self.weight * earlier(D, self.weight)[:, None]
        linear = F.linear(to_sequence(x), weight.flatten(0, 1)).view(len(x), *self.bias.shape)
        return from_sequence(linear + self._biases(condition), self.data_shape)

    def steps(self, batch_size: int, width: int, condition: Tensor | None = None) -> "_FVSBNSteps":
        return _FVSBNSteps(self, batch_size, condition)


class _FVSBNSteps(SequenceSteps):
    def __init__(self, network: FVSBNNetwork, batch_size: int, condition: Tensor | None):
        super().__init__(network.data_shape, batch_size, network.weight)
        self._weight = network.weight.detach()
        self._bias = network._biases(condition).detach()

    def outputs(self, first: int, last: int, present: Tensor) -> Tensor:
        x = self._sequence[:, : last - 1]
        each = [F.linear(x[:, :d], self._weight[d, :, :d]) for d in range(first, last)]
        return torch.stack(each, dim=1) + self._bias[..., first:last, :]
