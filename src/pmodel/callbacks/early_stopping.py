"""Ends a training that no longer improves, as an option: `callbacks=[default,early_stopping]`."""

import math
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch import callbacks as lightning

from pmodel.callbacks.frechet import FrechetDistance
from pmodel.figures.figure import epochs_done, followed
from pmodel.settings.ranges import Count, NonNegative

KEY = "callbacks.early_stopping"


class EarlyStopping(lightning.EarlyStopping):
    """Ends a training when the model's `monitor`, which best.ckpt follows too, has not improved for `patience`
    measurements in a row.

    A measurement is one per epoch, or where `trainer.check_val_every_n_epoch` or `callbacks.frechet.every_n_epochs` is
    n, one per n epochs. The count is part of a checkpoint: a run that was cut ends where it would have ended. A run
    that was stopped early trains no further when it is resumed, unless with a larger `patience`.

    A model without a gradient that follows a number of its training examples, such as k-means, ends when it has
    converged, and not earlier.

    Args:
        patience: so many measurements without an improvement end the training.
        min_delta: an improvement is one by more than this, in the unit of the monitor.

    Raises:
        ValueError: of one line, when training starts, if nothing will measure the monitor.
    """

    def __init__(self, patience: Count, min_delta: NonNegative):
        super().__init__("val/loss", min_delta, patience, check_finite=False, strict=False)
        self.least_gain = min_delta
        self.best_epoch: int | None = None
        self._validated = self._converges = False

    @property
    def state_key(self) -> str:
        return type(self).__name__

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.monitor, self.mode = followed(trainer.datamodule, pl_module), pl_module.monitor_mode
        # Lightning decides these by the mode, before it knows that of the model.
        sign = 1 if self.mode == "max" else -1
        self.min_delta, self.best_score = sign * self.least_gain, self.best_score.new_tensor(-sign * math.inf)
        self._check_on_train_epoch_end = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        of_gradient = next(pl_module.parameters(), None) is not None
        self._converges = pl_module.monitor.startswith("train/") and not of_gradient
        self._check_measured(trainer, pl_module)
        if self.wait_count >= self.patience:
            self._stop(trainer, pl_module)

    def _check_measured(self, trainer: Trainer, model: LightningModule) -> None:
        if model.monitor.startswith("val/") and not trainer.datamodule.split_sizes.get("validation"):
            raise ValueError(f"{KEY}: {model.monitor} needs validation examples, and the data have none")
        if model.monitor.endswith("/frechet"):
            before = trainer.callbacks[: trainer.callbacks.index(self)]
            if not any(isinstance(callback, FrechetDistance) for callback in before):
                raise ValueError(
                    f"{KEY}: nothing has measured {model.monitor} before it; expected callbacks.frechet, as with"
                    " callbacks=[default,early_stopping]"
                )
        elif model.monitor.startswith("val/") and not trainer.enable_validation:
            limit = trainer.limit_val_batches
            raise ValueError(f"{KEY}: nothing measures {model.monitor} with trainer.limit_val_batches={limit}")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning keeps an old number of the validation; an old Fréchet distance is taken away.
        measured = self._validated or not self.monitor.startswith("val/") or self.monitor.endswith("/frechet")
        self._validated = False
        if self._converges or not (measured and trainer.is_last_batch and self.monitor in trainer.callback_metrics):
            return
        self._run_early_stopping_check(trainer)
        if self.wait_count == 0:
            self.best_epoch = epochs_done(trainer)
        if self.wait_count >= self.patience:
            self._stop(trainer, pl_module)

    def _stop(self, trainer: Trainer, model: LightningModule) -> None:
        trainer.should_stop = True
        by = f" by more than {self.least_gain:g}" if self.least_gain else ""
        epochs = epochs_done(trainer) - (self.best_epoch or 0)
        span = f"{epochs} epoch{'s' * (epochs > 1)}"
        if epochs != self.wait_count:
            span = f"{self.wait_count} measurement{'s' * (self.wait_count > 1)} ({span})"
        best = f"{self.best_score.item():.4g} after epoch {self.best_epoch}" if self.best_epoch else "never finite"
        best = f"best {best}" if self.best_epoch and not self.least_gain else best
        model.stopped_early = f"stopped early: {self.monitor} has not improved{by} for {span} ({best})"

    def state_dict(self) -> dict[str, Any]:
        return {"wait_count": self.wait_count, "best_score": self.best_score.item(), "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.wait_count, self.best_epoch = state_dict["wait_count"], state_dict["best_epoch"]
        self.best_score = self.best_score.new_tensor(state_dict["best_score"])
