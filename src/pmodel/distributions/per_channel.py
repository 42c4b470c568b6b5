"""A likelihood of one channel, for each channel of an image."""

from torch import Generator, Tensor

from pmodel.distributions.likelihood import Likelihood


class PerChannel(Likelihood):
    """Each channel, given parameters of its own, is independent of the others; for networks that see earlier channels.

    Parameters (B, C·p, …), where the likelihood has p of one channel; C equal shares.
    """

    def __init__(self, likelihood: Likelihood):
        super().__init__()
        self.likelihood = likelihood

    def num_parameters(self, channels: int) -> int:
        return channels * self.likelihood.num_parameters(1)

    def _folded(self, parameters: Tensor) -> Tensor:
        """(B, C·p, …) → (B·C, p, …): a channel is an example."""
        return parameters.unflatten(1, (-1, self.likelihood.num_parameters(1))).flatten(0, 1)

    def log_prob_per_position(self, parameters: Tensor, x: Tensor) -> Tensor:
        each = self.likelihood.log_prob_per_position(self._folded(parameters), x.flatten(0, 1).unsqueeze(1))
        return each.unflatten(0, x.shape[:2]).sum(1)

    def noise(self, parameters: Tensor, generator: Generator | None = None) -> tuple[Tensor, ...]:
        noise = self.likelihood.noise(self._folded(parameters), generator)
        return tuple(part.unflatten(0, (len(parameters), -1)) for part in noise)

    def draw(self, parameters: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        folded = self.likelihood.draw(self._folded(parameters), tuple(part.flatten(0, 1) for part in noise))
        return folded.squeeze(1).unflatten(0, (len(parameters), -1))

    def mean(self, parameters: Tensor) -> Tensor:
        return self.likelihood.mean(self._folded(parameters)).squeeze(1).unflatten(0, (len(parameters), -1))
