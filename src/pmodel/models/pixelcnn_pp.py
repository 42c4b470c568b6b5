"""PixelCNN++ (Salimans, Karpathy, Chen & Kingma, PixelCNN++, 2017, arXiv 1701.05517)."""

from typing import Any

from pmodel.distributions import make_likelihood
from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.pixelcnn_pp import PixelCNNppNetwork
from pmodel.settings.ranges import Count, Fraction


class PixelCNNpp(AutoregressiveModule):
    """Gated residual blocks over several scales, and a mixture of discretized logistics for each whole pixel.

    `PixelCNNppNetwork` has the settings, and the deviations from the paper; `DiscretizedLogisticMixture` has those of
    the likelihood. The paper has 160 channels, 5 blocks, 3 scales, 10 mixtures, and 0.5 of dropout.

    Args:
        num_mixtures: K, of the logistics.
    """

    def __init__(
        self,
        hidden_channels: Count,
        num_blocks: Count,
        num_scales: Count,
        num_mixtures: Count,
        dropout: Fraction,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        self.likelihood = make_likelihood("discretized_logistic", common["num_levels"], num_mixtures)
        if min(self.data_shape[1:]) < 2 ** (num_scales - 1):
            most = min(self.data_shape[1:]).bit_length()
            height, width = self.data_shape[1:]
            raise ValueError(f"model.num_scales={num_scales}: expected 1 to {most}, for images of {height}×{width}")
        self.network = self.build(PixelCNNppNetwork)
