"""Ctrl-C, SIGTERM and their like end a run at the end of its step, with a checkpoint from which it goes on."""

import signal
import time
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import distributed

from pmodel.figures.figure import epochs_done
from pmodel.loggers.hand import keep
from pmodel.processes.signals import STOP_SIGNALS, obey, obey_again
from pmodel.settings.ranges import Count

# Two signals that come so close, in seconds, are one: a terminal sends Ctrl-C to all processes, and some hand it on.
ONE_SIGNAL = 1.0


class Stopped(Exception):  # noqa: N818  (it is no error)
    """The run was asked to stop and has saved its state, as far as it could."""

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class LastCheckpoint(Checkpoint):
    """Keeps last.ckpt: written after every n-th epoch, every n-th step if asked for, and wherever training ends.

    An end inside an epoch, by `trainer.max_steps`, `trainer.max_time` or a signal, is saved right after the step:
    what Lightning would save a little later counts that epoch as done, and a resumed run would skip the rest of it.
    A signal raises `Stopped` once the file is written; a second one does not wait. Of several processes, a signal to
    one of them stops all, after the same step.

    It is a `Checkpoint` because Lightning runs those after all other callbacks: what they change is then in the file.

    Args:
        every_n_steps: also within epochs, which may be long; null: at their ends alone.
    """

    def __init__(self, path: str, every_n_epochs: Count, every_n_steps: Count | None):
        self.path, self.every_n_epochs, self.every_n_steps = path, every_n_epochs, every_n_steps
        self._received, self._received_at = 0, 0.0
        self._previous: dict[int, Any] = {}
        # Flags are exchanged on the CPU: on a GPU each exchange would wait for the step.
        self._group: distributed.ProcessGroup | None = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._received and time.monotonic() - self._received_at > ONE_SIGNAL:
            raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)
        if not self._received:
            self._received, self._received_at = number, time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not earlier: Lightning installs its own handlers before this, and would put ours back after the end.
        self._previous = obey(dict.fromkeys(STOP_SIGNALS, self._on_signal))
        if trainer.world_size > 1:
            self._group = distributed.new_group(backend="gloo")

    def _received_by_any(self) -> int:
        """The signal that this process, or another one, was sent; 0 for none."""
        if self._group is None:
            return self._received
        received = torch.tensor(self._received)
        distributed.all_reduce(received, distributed.ReduceOp.MAX, self._group)
        return int(received)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # The last batch's epoch ends with validation and epoch means; on_train_epoch_end comes after these. Between
        # two optimizer steps, gradients are pending that no checkpoint holds.
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        received = self._received_by_any()
        due = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        if received or due or trainer.should_stop or trainer.global_step == trainer.max_steps:
            self._save(trainer, received)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch:
            return
        epoch = trainer.current_epoch + 1
        ends = trainer.should_stop or trainer.global_step == trainer.max_steps or epoch == trainer.max_epochs
        received = self._received_by_any()
        if received or ends or epoch % self.every_n_epochs == 0:
            self._save(trainer, received)

    def _save(self, trainer: Trainer, received: int) -> None:
        trainer.save_checkpoint(self.path)
        if received:
            raise Stopped(received)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_handlers()
        keep(trainer.loggers, "checkpoint", "last", self.path, {"epoch": epochs_done(trainer)})
        if received := self._received_by_any():  # while the last figures were drawn
            raise Stopped(received)

    def _restore_handlers(self, *arguments: Any, **named: Any) -> None:
        obey_again(self._previous)
        self._previous = {}

    teardown = on_exception = _restore_handlers
