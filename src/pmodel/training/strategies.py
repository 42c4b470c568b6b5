"""Which of Lightning's strategies a way of training needs on several devices."""

from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import DDPStrategy, Strategy

from pmodel.training.streaming import StreamingModule


class StreamingDDP(DDPStrategy):
    """Several processes whose models exchange sums, and no gradients: there are none, which DDP's wrapper refuses."""

    def configure_ddp(self) -> None:
        """Leaves the model unwrapped."""


def strategy_for(model: LightningModule, settings: dict[str, Any]) -> str | Strategy:
    """`trainer.strategy`; where that is auto, on several devices, one that the model can be trained by."""
    alone = settings["devices"] in (1, "1") and settings["num_nodes"] == 1
    if settings["strategy"] != "auto" or alone or not isinstance(model, StreamingModule):
        return settings["strategy"]
    return StreamingDDP()
