"""PixelCNN (van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks, 2016, arXiv 1601.06759)."""

from typing import Annotated

from annotated_types import Gt, Lt

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.pixelcnn import PixelCNNNetwork
from pmodel.ranges import Count, Counts, Two
from pmodel.training.schedules import Schedule


class PixelCNN(AutoregressiveModule):
    """The paper's masked convolutions, in residual blocks; see `PixelCNNNetwork` for them and for the blind spot.

    Args:
        hidden_channels: h; the residual stream has 2h features.
        num_blocks, kernel_size: of the residual blocks.
        first_kernel_size: of the convolution with mask A.
        head_channels: of the hidden layer at the end.
    """

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        num_classes: Two | None,
        class_conditional: bool,
        hidden_channels: Count,
        num_blocks: Count,
        head_channels: Count,
        optimizer: dict,
        schedule: Schedule,
        kernel_size: Count = 3,
        first_kernel_size: Count = 7,
        ema_decay: Annotated[float, Gt(0), Lt(1)] | None = None,
        compile: bool = False,
    ):
        super().__init__(
            data_shape, num_levels, num_classes, class_conditional, optimizer, schedule, ema_decay, compile
        )
        self.save_hyperparameters()
        self.check_sizes(
            hidden_channels=hidden_channels,
            num_blocks=num_blocks,
            head_channels=head_channels,
            kernel_size=kernel_size,
            first_kernel_size=first_kernel_size,
        )
        self.network = PixelCNNNetwork(
            self.num_channels,
            self.num_outputs,
            hidden_channels,
            num_blocks,
            kernel_size,
            first_kernel_size,
            head_channels,
            self.condition_channels,
        )
