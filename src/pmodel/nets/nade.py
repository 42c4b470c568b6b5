"""The network of the neural autoregressive distribution estimator, with its pass in linear time."""

import torch
from torch import Tensor, nn

from pmodel.nets.autoregressive import AutoregressiveNetwork
from pmodel.nets.sequence import SequenceSteps, from_sequence, to_sequence, told


class NADENetwork(AutoregressiveNetwork):
    """b_d + V_d σ(c + Σ_{j<d} W_j x_j) for each sub-pixel d, with p numbers for b and V each; x in [−1, 1].

    The sum of sub-pixel d + 1 is that of d and one more term, so all D hidden layers together cost O(D·h), not O(D²·h)
    (Larochelle & Murray, The Neural Autoregressive Distribution Estimator, 2011, section 4).

    Args:
        data_shape: (C, H, W).
        num_outputs: C·p.
        hidden_dim: h.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        num_channels: int,
        num_outputs: int,
        hidden_dim: int,
        condition_channels: int = 0,
    ):
        super().__init__()
        self.data_shape = torch.Size(data_shape)
        D, p = self.data_shape.numel(), num_outputs // num_channels
        # Small enough that the sum of all D terms leaves σ where it has a slope.
        self.weight = nn.Parameter(torch.randn(D, hidden_dim) / D**0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden_dim))
        self.out_weight = nn.Parameter(torch.randn(D, hidden_dim, p) / hidden_dim**0.5)
        self.out_bias = nn.Parameter(torch.zeros(D, p))
        self.condition = nn.Linear(condition_channels, hidden_dim, bias=False) if condition_channels else None

    def besides(self, condition: Tensor | None) -> list[Tensor] | list[int]:
        """What the hidden layer of each sub-pixel is fed besides, D of (B, h); 0 where there is no condition."""
        if self.condition is None:
            return [0] * len(self.weight)
        if condition.shape[2:] == (1, 1):
            return [self.condition(condition[:, :, 0, 0])] * len(self.weight)
        return list(self.condition(told(condition, self.data_shape)).unbind(1))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        # Not under autocast: a sum of hundreds of terms.
        with torch.autocast(x.device.type, enabled=False):
            # A step for each sub-pixel, and not one sum over (B, D, h): what it works on fits into a processor's cache.
            outputs, fed = [], self.hidden_bias.expand(len(x), -1)
            each = zip(to_sequence(x).T, self.weight, self.out_weight, self.besides(condition), strict=True)
            for value, weight, out_weight, extra in each:
                outputs.append((fed + extra).sigmoid() @ out_weight)
                fed = torch.addr(fed, value, weight)
        return from_sequence(torch.stack(outputs, 1) + self.out_bias, self.data_shape)

    def steps(self, batch_size: int, width: int, condition: Tensor | None = None) -> "_NADESteps":
        return _NADESteps(self, batch_size, condition)


class _NADESteps(SequenceSteps):
    def __init__(self, network: NADENetwork, batch_size: int, condition: Tensor | None):
        super().__init__(network.data_shape, batch_size, network.weight)
        self._weight, self._out_bias = network.weight.detach(), network.out_bias.detach()
        self._out_weight = network.out_weight.detach()
        with torch.no_grad():
            self._besides = network.besides(condition)
        self._fed = network.hidden_bias.detach().repeat(batch_size, 1)

    def advance(self, d: int, value: Tensor) -> None:
        self._fed.addr_(value, self._weight[d])

    def outputs(self, first: int, last: int, present: Tensor) -> Tensor:
        each = []
        for c, d in enumerate(range(first, last)):
            fed = self._fed + self._besides[d]
            if c:
                fed = fed + present[:, :c] @ self._weight[first:d]
            each.append(torch.addmm(self._out_bias[d], fed.sigmoid(), self._out_weight[d]))
        return torch.stack(each, dim=1)
