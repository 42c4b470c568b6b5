"""Images on a few levels, each level with a probability of its own."""

import torch
from torch import Generator, Tensor

from pmodel.distributions.likelihood import Likelihood
from pmodel.distributions.noise import gumbel
from pmodel.nets.precision import upcast


class Categorical(Likelihood):
    """p(x = k/(L − 1)) = softmax(logits)_k, independent for each sub-pixel.

    PixelRNN's softmax over levels (Pixel Recurrent Neural Networks, 2016, arXiv 1601.06759). Parameters: logits
    (B, C·L, …), the L levels of the first channel first.
    """

    def __init__(self, num_levels: int):
        super().__init__()
        self.num_levels = num_levels

    def num_parameters(self, channels: int) -> int:
        return channels * self.num_levels

    def logits(self, parameters: Tensor) -> Tensor:
        """(B, C·L, …) → (B, C, L, …), float32."""
        return upcast(parameters).unflatten(1, (-1, self.num_levels))

    def log_prob_per_position(self, parameters: Tensor, x: Tensor) -> Tensor:
        logits = self.logits(parameters)
        level = (x * (self.num_levels - 1)).round().long().unsqueeze(2)
        return (logits.gather(2, level).squeeze(2) - logits.logsumexp(2)).sum(1)

    def noise(self, parameters: Tensor, generator: Generator | None = None) -> tuple[Tensor, ...]:
        logits = self.logits(parameters)
        return (gumbel(tuple(logits.shape), logits, generator),)

    def draw(self, parameters: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        level = (self.logits(parameters) + noise[0]).argmax(2)
        return level.float() / (self.num_levels - 1)

    def mean(self, parameters: Tensor) -> Tensor:
        p = self.logits(parameters).softmax(2)
        values = torch.linspace(0, 1, self.num_levels, device=p.device)
        return torch.tensordot(p.movedim(2, -1), values, dims=1)
