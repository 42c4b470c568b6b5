"""NICE: additive couplings of vectors."""

from typing import Any

from pmodel.models.image_flow import ImageFlow
from pmodel.nets.flows.coupling import Coupling, VectorNetwork, alternating
from pmodel.nets.flows.layers import ActNorm, Flatten, Sequence
from pmodel.settings.ranges import Count, Counts


class NICE(ImageFlow):
    """Additive couplings of the even and the odd dimensions in turn, a scale for each dimension, and a logistic prior
    (Dinh, Krueger & Bengio, NICE: Non-linear Independent Components Estimation, 2014, arXiv 1410.8516).

    The scales start from those of the training examples, where the paper's start at 1. The paper has 4 couplings with 5
    hidden layers of 1000 units for MNIST.

    Args:
        num_couplings: one after the other.
        hidden_dims: the units of each hidden layer of their networks.
    """

    def __init__(self, num_couplings: Count, hidden_dims: Counts, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        D = self.data_shape.numel()
        couplings = [
            Coupling(alternating(D, i % 2), VectorNetwork(D, hidden_dims), scaled=False) for i in range(num_couplings)
        ]
        self.flow = Sequence(Flatten(self.data_shape), *couplings, ActNorm(D))
