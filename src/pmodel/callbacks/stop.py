"""Ctrl-C and SIGTERM end a run at the end of its step, with a checkpoint from which it goes on."""

import signal
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):  # noqa: N818  (it is no error)
    """The run was asked to stop and has saved its state."""

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class GracefulStop(Checkpoint):
    """Saves `checkpoint` at the end of the step during which a signal came and raises `Stopped`.

    A second Ctrl-C does not wait. It is a `Checkpoint` because Lightning runs those after all other callbacks: what
    they change in a step is then in the file.
    """

    def __init__(self, checkpoint: str):
        self.checkpoint = checkpoint
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # The last batch's epoch ends with validation and epoch means; on_train_epoch_end comes after these.
        if self._received is not None and not trainer.is_last_batch:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._received is not None:
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.checkpoint)
        raise Stopped(self._received)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.teardown(trainer, pl_module, "fit")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")
