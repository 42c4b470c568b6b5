"""The neural autoregressive distribution estimator (Larochelle & Murray, The Neural Autoregressive Distribution
Estimator, 2011)."""

from typing import Any

from pmodel.models.sub_pixels import SubPixelModule
from pmodel.nets.nade import NADENetwork
from pmodel.settings.ranges import Count


class NADE(SubPixelModule):
    """p(x_d = 1 | x_<d) = σ(b_d + V_d h_d) with h_d = σ(c + Σ_{j<d} W_j x_j): one hidden layer for each sub-pixel, all
    with the same weights W. The order is that of the raster; `model=nade_deep` has any order.

    On more than two levels V_d gives the logits of a softmax, or the parameters of a mixture of logistics as in RNADE
    (Uria, Murray & Larochelle, 2013, arXiv 1306.0186, where the data are continuous).

    Args:
        hidden_dim: h.
    """

    def __init__(self, hidden_dim: Count, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.network = self.build(NADENetwork)
