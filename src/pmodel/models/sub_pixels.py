"""What autoregressive models share whose networks take an image as a sequence of sub-pixels."""

from typing import Any

from pmodel.distributions import LevelLikelihoodName, make_likelihood
from pmodel.distributions.per_channel import PerChannel
from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.settings.ranges import Count


class SubPixelModule(AutoregressiveModule):
    """An autoregressive model with the choice of what a sub-pixel's distribution is, given those before it.

    Args:
        likelihood, num_mixtures: of one sub-pixel; see `pmodel.distributions`.
    """

    def __init__(self, likelihood: LevelLikelihoodName, num_mixtures: Count, **common: Any):
        super().__init__(**common)
        self.likelihood = PerChannel(make_likelihood(likelihood, common["num_levels"], num_mixtures))
