"""Deep NADE, for any order of the pixels (Uria, Murray & Larochelle, A Deep and Tractable Density Estimator, 2014,
arXiv 1310.1757)."""

from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from pmodel.models.any_order import AnyOrderModule
from pmodel.nets.any_order import AnyOrderSteps, HiddenValuesNetwork
from pmodel.nets.batch_share import own_share
from pmodel.settings.ranges import Count, Counts


class DeepNADE(AnyOrderModule):
    """One network for the conditionals of all D! orders: it sees some values, and which these are, and gives the
    distribution of each of the others.

    A step of training draws for each example how many values are seen, d = 0 … D − 1, and which, and minimizes
    D/(D − d) Σ −log p over the others: in expectation the mean of −log p(x) over all orders. Deviation: the d of a
    batch are drawn evenly spaced, which leaves the expectation and lowers the noise.

    p(x) is the mean over `num_orders` random orders (EoNADE); the more, the better, at the price of D passes each.
    `complete` takes an order in which all known values come first, so its draws are of p(hidden | known) in that order.

    Args:
        hidden_dims: units of each hidden layer.
        num_orders: K; a trained model can be asked with another number.
    """

    answer_settings = ("num_orders",)
    meanings: ClassVar[dict[str, str]] = {
        "loss": "an estimate of the mean of −log p(x) over all orders; their mixture has less"
    }

    def __init__(self, hidden_dims: Counts, num_orders: Count, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.num_orders = num_orders
        self.network = HiddenValuesNetwork(self.num_values, self.likelihood.num_parameters(1), hidden_dims)

    def loss(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x.flatten(1)
        D = x.shape[1]
        noise = own_share(lambda n: _spaced(torch.rand(n, D + 1, device=x.device)), len(x))
        count = (noise[:, 0] * D).long().clamp(max=D - 1)
        known = noise[:, 1:].argsort(1).argsort(1) < count[:, None]
        parameters = self.network(
            (2 * x - 1).to(next(self.parameters()).dtype), known.to(self.network.layers[0].weight)
        )
        log_p = torch.where(known, 0, self.log_prob_of(parameters, x)).sum(1)
        return {"loss": -log_p * (D / (D - count))}

    def log_prob_in_order(self, x: Tensor, k: int) -> Tensor:
        steps, order = self.steps_in_order(len(x), torch.zeros(x.shape[1], dtype=torch.bool, device=x.device), k)
        log_p = 0
        for d in order.tolist():
            log_p += self.log_prob_of(steps.parameters(d)[:, None], x[:, d, None])[:, 0]
            steps.put(d, (2 * x[:, d] - 1).to(next(self.parameters()).dtype))
        return log_p

    def steps_in_order(self, batch_size: int, known: Tensor, k: int) -> tuple[AnyOrderSteps, Tensor]:
        order = torch.randperm(self.num_values, generator=Generator().manual_seed(k))
        first = (~known.cpu()[order]).int().argsort(stable=True)
        return self.network.steps(batch_size), order[first]


def _spaced(noise: Tensor) -> Tensor:
    """Uniform numbers (n, …), of which the first ones of each row are evenly spaced over the rows."""
    n = len(noise)
    noise[:, 0] = (noise[:1, 0] + torch.arange(n, device=noise.device) / n) % 1
    return noise
