"""PixelCNN++ (Salimans, Karpathy, Chen & Kingma, PixelCNN++, 2017, arXiv 1701.05517)."""

from typing import Annotated

from annotated_types import Gt, Lt

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.pixelcnn_pp import PixelCNNppNetwork
from pmodel.ranges import Count, Counts, Fraction, Two
from pmodel.training.schedules import Schedule


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
        data_shape: Counts,
        num_levels: Two | None,
        num_classes: Two | None,
        class_conditional: bool,
        hidden_channels: Count,
        num_blocks: Count,
        num_scales: Count,
        num_mixtures: Count,
        optimizer: dict,
        schedule: Schedule,
        dropout: Fraction = 0.5,
        ema_decay: Annotated[float, Gt(0), Lt(1)] | None = None,
        compile: bool = False,
    ):
        super().__init__(
            data_shape,
            num_levels,
            num_classes,
            class_conditional,
            optimizer,
            schedule,
            ema_decay,
            compile,
            num_mixtures,
        )
        self.save_hyperparameters()
        self.check_sizes(hidden_channels=hidden_channels, num_blocks=num_blocks, num_mixtures=num_mixtures)
        if num_scales < 1 or min(self.data_shape[1:]) < 2 ** (num_scales - 1):
            most = min(self.data_shape[1:]).bit_length()
            height, width = self.data_shape[1:]
            raise ValueError(f"model.num_scales={num_scales}: expected 1 to {most}, for pictures of {height}×{width}")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout={dropout}: expected a share, at least 0 and less than 1")
        self.network = PixelCNNppNetwork(
            self.num_channels,
            self.num_outputs,
            hidden_channels,
            num_blocks,
            num_scales,
            dropout,
            self.condition_channels,
        )
