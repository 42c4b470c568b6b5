"""PixelCNN++ (Salimans, Karpathy, Chen & Kingma, PixelCNN++, 2017, arXiv 1701.05517)."""

from typing import Any

from pmodel.distributions import make_likelihood
from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.pixelcnn_pp import PixelCNNppNetwork
from pmodel.settings.ranges import Count, Fraction


class PixelCNNpp(AutoregressiveModule):
    """Gated residual blocks over several scales, and a mixture of discretized logistics for each whole pixel.

    The network and its deviations from the paper are in `PixelCNNppNetwork`, the likelihood and its own in
    `DiscretizedLogisticMixture`. The paper has 160 channels, 5 blocks, 3 scales, 10 mixtures, and 0.5 of dropout.

    Args:
        hidden_channels: h, the features of each of the two streams.
        num_blocks: of each stream at each scale.
        num_scales: of which each has half the rows and columns of the one before.
        num_mixtures: K, of the logistics.
        dropout: the share of features that a block leaves out in a training step.
    """

    whole_pixels = True

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
        self.check_sizes()
        if num_scales < 1 or min(self.data_shape[1:]) < 2 ** (num_scales - 1):
            most = min(self.data_shape[1:]).bit_length()
            height, width = self.data_shape[1:]
            raise ValueError(f"model.num_scales={num_scales}: expected 1 to {most}, for images of {height}×{width}")
        self.network = PixelCNNppNetwork(
            self.num_channels,
            self.num_outputs,
            hidden_channels,
            num_blocks,
            num_scales,
            dropout,
            self.condition_channels,
        )
