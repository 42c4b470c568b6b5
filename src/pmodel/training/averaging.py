"""Averaged weights: w̄ ← d w̄ + (1 − d) w after each step (Polyak & Juditsky, 1992)."""

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn


def decay_at(step: int, decay: float, rampup: float) -> float:
    """d after so many steps: it rises from 0 to `decay`.

    A constant one would hold the initial weights for 1 / (1 − decay) steps. Rising, the averages reach over at most the
    share `rampup` of the steps so far.
    """
    return min(decay, (1 + step) / (1 + 1 / rampup + step))


@torch.no_grad()
def move_average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """w̄ ← d w̄ + (1 − d) w; buffers, such as those of batch normalization, are copied."""
    torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)
    for buffer, copy in zip(network.buffers(), averaged.buffers(), strict=True):
        copy.copy_(buffer)


class AveragedWeights(WeightAveraging):
    """Averages a model's weights after each optimizer step; validation and checkpoints have the averages.

    Equal weights stay what they are, to the last bit.

    decay: see `decay_at`
    use_buffers: whether buffers, such as the statistics of batch normalization, are averaged too, or copied
    """

    RAMPUP = 0.1

    def __init__(self, decay: float, use_buffers: bool):
        super().__init__(use_buffers=use_buffers, avg_fn=self._average)
        self.decay, self._decay_now = decay, 0.0

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        if step_idx is None:
            return False
        self._decay_now = decay_at(step_idx + 1, self.decay, self.RAMPUP)
        return True

    def _average(self, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return torch.lerp(average, current, 1 - self._decay_now) if average.is_floating_point() else current
