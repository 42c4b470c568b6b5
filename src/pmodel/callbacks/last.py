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


class LastCheckpoint(Checkpoint):
    """Keeps last.ckpt: written after every n-th epoch, and wherever training ends.

    An end inside an epoch, by `trainer.max_steps`, `trainer.max_time` or a signal, is saved right after the step:
    what Lightning would save a little later counts that epoch as done, and a resumed run would skip the rest of it.
    A signal raises `Stopped` once the file is written; a second one does not wait.

    It is a `Checkpoint` because Lightning runs those after all other callbacks: what they change is then in the file.
    """

    def __init__(self, path: str, every_n_epochs: int = 1):
        self.path, self.every_n_epochs = path, every_n_epochs
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not earlier: Lightning installs its own handlers before this, and would put ours back after the end.
        self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # The last batch's epoch ends with validation and epoch means; on_train_epoch_end comes after these. Between
        # two optimizer steps, gradients are pending that no checkpoint holds.
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if self._received is not None or trainer.should_stop or trainer.global_step == trainer.max_steps:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch:
            return
        epoch = trainer.current_epoch + 1
        ends = trainer.should_stop or trainer.global_step == trainer.max_steps or epoch == trainer.max_epochs
        if self._received is not None or ends or epoch % self.every_n_epochs == 0:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        if self._received is not None:
            raise Stopped(self._received)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_handlers()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
