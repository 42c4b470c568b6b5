"""Fully visible sigmoid belief nets (Frey, Hinton & Dayan: Does the Wake-Sleep Algorithm Produce Good Density
Estimators?, 1996; Frey: Graphical Models for Machine Learning and Digital Communication, 1998)."""

from typing import Any

from pmodel.models.sub_pixels import SubPixelModule
from pmodel.nets.fvsbn import FVSBNNetwork

# 4 GiB of float32.
MAX_WEIGHTS = 2**30


class FVSBN(SubPixelModule):
    """A logistic regression of each sub-pixel on all before it: p(x_d = 1 | x_<d) = σ(b_d + Σ_{j<d} W_dj x_j).

    Of the D² weights of each output half are used: those of earlier sub-pixels. On more than two levels a softmax of as
    many linear functions, or a mixture of logistics with linear parameters, takes the place of σ; the papers have bits
    alone.
    """

    def __init__(self, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        D, outputs = self.data_shape.numel(), self.likelihood.num_parameters(1)
        if D * D * outputs > MAX_WEIGHTS:
            raise ValueError(
                f"model.likelihood={common['likelihood']}: expected discretized_logistic; a matrix of {outputs} numbers"
                f" for each two of {D} values is too large"
            )
        self.network = self.build(FVSBNNetwork)

    @property
    def num_parameters(self) -> int:
        """Without the weights of later sub-pixels, which are not used."""
        D, outputs = self.data_shape.numel(), self.likelihood.num_parameters(1)
        return super().num_parameters - outputs * D * (D + 1) // 2
