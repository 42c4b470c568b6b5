"""Fully visible sigmoid belief nets (Frey, Hinton & Dayan: Does the Wake-Sleep Algorithm Produce Good Density
Estimators?, 1996; Frey: Graphical Models for Machine Learning and Digital Communication, 1998)."""

from typing import Any

from pmodel.models.sub_pixels import SubPixelModule
from pmodel.nets.fvsbn import FVSBNNetwork


class FVSBN(SubPixelModule):
    """A logistic regression of each sub-pixel on all before it: p(x_d = 1 | x_<d) = σ(b_d + Σ_{j<d} W_dj x_j).

    The weights number D²/2. On more than two levels a softmax of as many linear functions, or a mixture of logistics
    with linear parameters, takes the place of σ; the papers have bits alone.
    """

    def __init__(self, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.network = self.build(FVSBNNetwork)
