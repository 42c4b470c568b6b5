"""Networks that give the conditionals of D values in any order: by masks of their weights, or of their inputs."""

import itertools

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn


class AnyOrderNetwork(nn.Module):
    """Layers of ReLUs from D values in [−1, 1] to p numbers for each; a subclass hides values from them.

    Args:
        num_values: D.
        num_inputs: of the first layer.
        num_outputs: p.
        hidden_dims: units of each hidden layer.
    """

    def __init__(self, num_values: int, num_inputs: int, num_outputs: int, hidden_dims: list[int]):
        super().__init__()
        self.num_values, self.num_outputs = num_values, num_outputs
        sizes = [num_inputs, *hidden_dims, num_values * num_outputs]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sizes))


class MADENetwork(AnyOrderNetwork):
    """Every output is cut off from the values that come at its place or later in an order (Germain et al., MADE, 2015,
    arXiv 1502.03509, section 3).

    With places 1 … D of the values, each hidden unit has a degree, drawn for each set of masks between the least of the
    layer before and D − 1: it sees units of at most that degree, and is seen by outputs of later places.
    """

    def __init__(self, num_values: int, num_outputs: int, hidden_dims: list[int]):
        super().__init__(num_values, num_values, num_outputs, hidden_dims)

    def masked_weights(self, order: Tensor, generator: Generator) -> list[Tensor]:
        """The weights of all layers under masks for an order (D,), with degrees drawn by the generator; both on the
        CPU."""
        places = torch.empty_like(order)
        places[order] = torch.arange(1, len(order) + 1)
        weights, below, device = [], places, self.layers[0].weight.device
        for layer in self.layers[:-1]:
            # A single value has no units that see it: these have its place, and no output sees them.
            least = int(below.min())
            degrees = torch.randint(least, max(self.num_values, least + 1), (layer.out_features,), generator=generator)
            weights.append(layer.weight * (degrees.to(device)[:, None] >= below.to(device)))
            below = degrees
        of_outputs = places.repeat_interleave(self.num_outputs)
        return [*weights, self.layers[-1].weight * (of_outputs.to(device)[:, None] > below.to(device))]

    def forward(self, x: Tensor, order: Tensor, generator: Generator) -> Tensor:
        """Values (B, D) → p numbers of each given those before it in the order (D,), (B, D, p)."""
        *weights, last = self.masked_weights(order, generator)
        for weight, layer in zip(weights, self.layers, strict=False):
            x = F.relu(F.linear(x, weight, layer.bias))
        return F.linear(x, last, self.layers[-1].bias).unflatten(1, (self.num_values, -1))

    def steps(self, batch_size: int, order: Tensor, generator: Generator) -> "AnyOrderSteps":
        """The same in this order, value by value."""
        weights = [weight.detach() for weight in self.masked_weights(order, generator)]
        return AnyOrderSteps(self, weights, batch_size)


class HiddenValuesNetwork(AnyOrderNetwork):
    """All outputs from the values that are known, 0 in the place of others, and which these are (Uria, Murray &
    Larochelle, A Deep and Tractable Density Estimator, 2014, arXiv 1310.1757, section 3)."""

    def __init__(self, num_values: int, num_outputs: int, hidden_dims: list[int]):
        super().__init__(num_values, 2 * num_values, num_outputs, hidden_dims)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Values (B, D), and 1 where they are known, 0 elsewhere (B, D) → p numbers of each, (B, D, p)."""
        x = torch.cat([x * known, known], dim=1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x).unflatten(1, (self.num_values, -1))

    def steps(self, batch_size: int) -> "AnyOrderSteps":
        """The same value by value, in any order."""
        return AnyOrderSteps(self, [layer.weight.detach() for layer in self.layers], batch_size)


class AnyOrderSteps:
    """A network whose values become known one by one: `parameters` of the next one, `put` its value.

    The first hidden layer grows with each value, and of the last one a single output is computed.
    """

    def __init__(self, network: AnyOrderNetwork, weights: list[Tensor], batch_size: int):
        first, *self._between, last = weights
        self._of_value, *of_mask = first.T.split(network.num_values)
        self._of_mask = of_mask[0] if of_mask else None
        biases = [layer.bias.detach() for layer in network.layers]
        self._fed = biases[0].repeat(batch_size, 1)
        self._biases, self._out_bias = biases[1:-1], biases[-1].view(network.num_values, -1)
        self._out = last.view(network.num_values, network.num_outputs, -1)

    def parameters(self, d: int) -> Tensor:
        """The p numbers of value d given those that were put, (B, p)."""
        x = self._fed.relu()
        for weight, bias in zip(self._between, self._biases, strict=True):
            x = F.linear(x, weight, bias).relu_()
        return F.linear(x, self._out[d], self._out_bias[d])

    def put(self, d: int, value: Tensor) -> None:
        """Takes in the value (B,) in [−1, 1] of d."""
        self._fed.addr_(value, self._of_value[d])
        if self._of_mask is not None:
            self._fed += self._of_mask[d]
