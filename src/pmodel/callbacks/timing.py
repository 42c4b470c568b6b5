"""How long training takes, without validation, figures and checkpoints."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Timing(Callback):
    """Counts training examples, and the seconds between the ends of batches within an epoch; resumed runs go on."""

    def __init__(self) -> None:
        self.examples, self.seconds = 0, 0.0
        self._since = 0.0

    def _go_on(self, *arguments: Any) -> None:
        self._since = time.perf_counter()

    # A run that is resumed within an epoch doesn't start one.
    on_train_start = on_train_epoch_start = on_validation_end = _go_on

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.examples += len(batch.x) if batch.total is None else batch.total
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now
        if trainer.is_last_batch:
            # For curves of loss against time.
            pl_module.log("timing/seconds", self.seconds, on_step=False, on_epoch=True, batch_size=1)

    @property
    def examples_per_second(self) -> float:
        """Over all steps, those before a resume included."""
        return self.examples / self.seconds if self.seconds else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"examples": self.examples, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.examples, self.seconds = state_dict["examples"], state_dict["seconds"]
