"""One progress bar for the whole training, with the numbers that matter."""

import math
import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from pmodel.processes.launch import is_first
from pmodel.settings.ranges import Positive


class Progress(ProgressBar):
    """A bar over all steps on a terminal; elsewhere, as in a log file, about twenty lines per training.

    Shows the epoch and what the model monitors: of the last step, or of the epoch where it is over, and of the last
    validation.
    """

    LINES_PER_TRAINING = 20

    def __init__(self, refresh_per_second: Positive):
        super().__init__()
        self.seconds_between = 1 / refresh_per_second
        self._enabled = True
        self._bar: tqdm | None = None
        self._next_refresh = 0.0

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._enabled and is_first() and sys.stderr.isatty():
            steps = {"total": self._total_steps(trainer), "initial": self._steps_done(trainer), "unit": "step"}
            self._bar = tqdm(**steps, dynamic_ncols=True, leave=False)

    @staticmethod
    def _total_steps(trainer: Trainer) -> int | None:
        limits = [trainer.max_steps] if trainer.max_steps > 0 else []
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            limits.append(int(trainer.max_epochs * trainer.num_training_batches))
        return min(limits, default=None)

    @staticmethod
    def _steps_done(trainer: Trainer) -> int:
        return trainer.fit_loop.epoch_loop.batch_progress.total.completed

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if self._bar is None or now < self._next_refresh:
            return
        self._next_refresh = now + self.seconds_between
        self._bar.n = self._steps_done(trainer) + 1
        self._bar.set_description_str(f"epoch {trainer.current_epoch + 1}", refresh=False)
        self._bar.set_postfix_str("  ".join(self._numbers(trainer, pl_module)))

    def _numbers(self, trainer: Trainer, model: LightningModule) -> list[str]:
        quantity, logged = model.monitor.partition("/")[2], trainer.callback_metrics
        shown = {}
        for name in (*model.headline, quantity):
            # On a bar, that of the last step; the mean of an epoch once it is over.
            if name in model.last_terms and self._bar is not None:
                shown[f"train {name}"] = model.in_the_datas_units({name: model.last_terms[name].mean().item()})[name]
            elif f"train/{name}" in logged:
                shown[f"train {name}"] = logged[f"train/{name}"].item()
        if f"val/{quantity}" in logged:
            shown[f"{model.validation_name} {quantity}"] = logged[f"val/{quantity}"].item()
        return [f"{name} {value:.4g}" for name, value in shown.items()]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None or not self._enabled or not is_first():
            return
        epoch, steps = trainer.current_epoch + 1, self._total_steps(trainer)
        last = steps and math.ceil(steps / trainer.num_training_batches)
        every = max(1, (last or 0) // self.LINES_PER_TRAINING)
        if epoch == 1 or epoch % every == 0 or epoch == last or trainer.should_stop:
            of = f"/{last}" if last else ""
            print(f"epoch {epoch}{of}  " + "  ".join(self._numbers(trainer, pl_module)), flush=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
