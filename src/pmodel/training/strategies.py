"""Which of Lightning's strategies a way of training needs on several devices."""

from lightning.pytorch.strategies import DDPStrategy


class StreamingDDP(DDPStrategy):
    """Several processes whose models exchange sums, and no gradients: there are none, which DDP's wrapper refuses."""

    def configure_ddp(self) -> None:
        """Leaves the model unwrapped."""
