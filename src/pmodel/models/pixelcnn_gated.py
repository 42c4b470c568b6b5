"""Gated PixelCNN (van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016, arXiv 1606.05328)."""

from typing import Annotated

from annotated_types import Gt, Lt

from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.gated_pixelcnn import GatedPixelCNNNetwork
from pmodel.ranges import Count, Counts, Fraction, Two
from pmodel.training.schedules import Schedule


class GatedPixelCNN(AutoregressiveModule):
    """Gated layers of a vertical and a horizontal stack, which see all earlier pixels; see `GatedPixelCNNNetwork`.

    Args:
        hidden_channels: h, the features of each stack.
        num_layers: of both stacks, with the first.
        head_channels: of the hidden layer at the end.
        kernel_size, first_kernel_size: of the layers, and of the first.
        dropout: the share of the gates' outputs that each training step leaves out.
    """

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        num_classes: Two | None,
        class_conditional: bool,
        hidden_channels: Count,
        num_layers: Count,
        head_channels: Count,
        optimizer: dict,
        schedule: Schedule,
        kernel_size: Count = 3,
        first_kernel_size: Count = 7,
        dropout: Fraction = 0.0,
        ema_decay: Annotated[float, Gt(0), Lt(1)] | None = None,
        compile: bool = False,
    ):
        super().__init__(
            data_shape, num_levels, num_classes, class_conditional, optimizer, schedule, ema_decay, compile
        )
        self.save_hyperparameters()
        self.check_sizes(
            hidden_channels=hidden_channels,
            num_layers=num_layers,
            head_channels=head_channels,
            kernel_size=kernel_size,
            first_kernel_size=first_kernel_size,
        )
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout={dropout}: expected a share, at least 0 and less than 1")
        self.network = GatedPixelCNNNetwork(
            self.num_channels,
            self.num_outputs,
            hidden_channels,
            num_layers,
            kernel_size,
            first_kernel_size,
            head_channels,
            dropout,
            self.condition_channels,
        )
