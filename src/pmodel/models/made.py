"""The masked autoencoder for distribution estimation (Germain, Gregor, Murray & Larochelle, MADE, 2015,
arXiv 1502.03509)."""

from typing import Any, Literal

import torch
from torch import Generator, Tensor

from pmodel.models.any_order import AnyOrderModule
from pmodel.nets.any_order import AnyOrderSteps, MADENetwork
from pmodel.settings.ranges import Count, Counts


class MADE(AnyOrderModule):
    """An autoencoder with masks on its weights, so that one pass gives all conditionals in an order.

    Training takes `num_masks` sets of masks in turn, a step each; p(x) is the mean over all of them. The sets are the
    same in every run: the k-th is drawn with seed k.

    Args:
        hidden_dims: units of each hidden layer.
        num_masks: K, sets of masks, each a pass of validation. A trained model can be asked with another number; sets
            that its training never took only cost.
        order: `raster`: all sets have the raster's order, and differ in what hidden units see; `random`: each set has
            an order of its own.
    """

    answer_settings = ("num_masks",)

    def __init__(self, hidden_dims: Counts, num_masks: Count, order: Literal["raster", "random"], **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.num_orders, self.order = num_masks, order
        num_parameters = self.likelihood.num_parameters(1)
        self.network = MADENetwork(self.num_values, num_parameters, hidden_dims)

    def _masks(self, k: int) -> tuple[Tensor, Generator]:
        """The order (D,) of the k-th set, and the generator that draws what its hidden units see."""
        generator = Generator().manual_seed(k)
        if self.order == "random":
            return torch.randperm(self.num_values, generator=generator), generator
        # x.flatten(1) has all of the first channel first, an image is drawn pixel by pixel.
        return torch.arange(self.num_values).view(self.data_shape[0], -1).T.flatten(), generator

    def log_prob_in_order(self, x: Tensor, k: int) -> Tensor:
        parameters = self.network((2 * x - 1).to(next(self.parameters()).dtype), *self._masks(k))
        return self.log_prob_of(parameters, x).sum(1)

    def loss(self, batch: Any) -> dict[str, Tensor]:
        k = 0 if self._trainer is None else self.global_step % self.num_orders
        return {"loss": -self.log_prob_in_order(batch.x.flatten(1), k)}

    def terms(self, batch: Any) -> dict[str, Tensor]:
        return {"loss": -self.mixture_log_prob(batch.x.flatten(1))}

    @property
    def meanings(self) -> dict[str, str]:
        return {"loss": f"−log p(x): in training by one of {self.num_orders} sets of masks, else by all"}

    def steps_in_order(self, batch_size: int, known: Tensor, k: int) -> tuple[AnyOrderSteps, Tensor]:
        """In the k-th order: a draw is given what comes before in it, and what is known further on has no influence."""
        order, generator = self._masks(k)
        return self.network.steps(batch_size, order, generator), order
