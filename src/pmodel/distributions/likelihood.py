"""The interface that all likelihoods share."""

from abc import ABC, abstractmethod

from torch import Generator, Tensor, nn


class Likelihood(nn.Module, ABC):
    """p(x | parameters), where a network gives the parameters (B, P, …) of examples x (B, C, …).

    The dimensions after the channels are the same in both: (H, W) for images, none for points, whose D
    coordinates are the channels. A likelihood may own weights that do not depend on the network (`Gaussian`).
    """

    @abstractmethod
    def num_parameters(self, channels: int) -> int:
        """P, the number of network outputs per position, for examples with C channels."""

    @abstractmethod
    def log_prob_per_position(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p in nats at each position, summed over its channels: (B, …) without the channels."""

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x | parameters) in nats, summed over channels and positions, (B,)."""
        return self.log_prob_per_position(parameters, x).reshape(x.shape[0], -1).sum(1)

    def sample(self, parameters: Tensor, *, generator: Generator | None = None) -> Tensor:
        """A draw of x (B, C, …) for each set of parameters, on the levels of the data."""
        return self.draw(parameters, self.noise(parameters, generator))

    @abstractmethod
    def noise(self, parameters: Tensor, generator: Generator | None = None) -> tuple[Tensor, ...]:
        """All that is random in a draw with parameters like these (B, P, …): tensors (B, …) for `draw`."""

    @abstractmethod
    def draw(self, parameters: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        """What `sample` draws with that noise, (B, C, …)."""

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """The expectation of x, (B, C, …)."""
