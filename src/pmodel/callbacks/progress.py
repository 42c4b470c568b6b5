"""One progress bar for the whole training, with the numbers that matter."""

import math
import shutil
import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from pmodel.processes.launch import is_first
from pmodel.settings.ranges import Positive


class Progress(ProgressBar):
    """About twenty lines per training, each of an epoch, which stay; on a terminal also a bar over all steps.

    Both show what the model monitors: of the last step, or of the epoch where it is over, and of the last validation.
    The bar shows as many of these numbers as there is room for, and at least the last two.
    """

    LINES_PER_TRAINING = 20
    # Of the bar, without its numbers: "epoch 12  45%|█████| 00:12<00:15", and with the steps and their rate.
    NARROW, WIDE = 36, 66

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
        self._fit_in(shutil.get_terminal_size().columns, self._numbers(trainer, pl_module, of_step=True))
        self._bar.refresh()

    def _fit_in(self, columns: int, numbers: list[str]) -> None:
        """Puts as many of the numbers into the bar as fit, the last two at least, and steps and rate if they do."""
        while len(numbers) > 2 and self.NARROW + len("  ".join(numbers)) > columns:
            numbers = numbers[1:]
        text = "  ".join(numbers)
        self._bar.set_postfix_str(text, refresh=False)
        # Where a rest is known there is a percentage.
        if self._bar.total:
            narrow = "{desc} {percentage:2.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
            self._bar.bar_format = narrow if self.WIDE + len(text) > columns else None

    def _numbers(self, trainer: Trainer, model: LightningModule, of_step: bool) -> list[str]:
        """What the model monitors, as text: of the last step and short, or of the epoch."""
        quantity, logged = model.monitor.partition("/")[2], trainer.callback_metrics
        shown = {}
        for name in (*model.headline, quantity):
            if of_step and name in model.last_terms:
                shown[name] = model.in_the_datas_units({name: model.last_terms[name].mean().item()})[name]
            elif f"train/{name}" in logged:
                shown[name if of_step else f"train {name}"] = logged[f"train/{name}"].item()
        if f"val/{quantity}" in logged:
            of = "val" if of_step else model.validation_name
            shown[f"{of} {quantity}"] = logged[f"val/{quantity}"].item()
        return [f"{name} {value:.4g}" for name, value in shown.items()]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._enabled or not is_first():
            return
        epoch, steps = trainer.current_epoch + 1, self._total_steps(trainer)
        last = steps and math.ceil(steps / trainer.num_training_batches)
        every = max(1, (last or 0) // self.LINES_PER_TRAINING)
        if epoch == 1 or epoch % every == 0 or epoch == last or trainer.should_stop:
            of = f"/{last}" if last else ""
            line = f"epoch {epoch}{of}  " + "  ".join(self._numbers(trainer, pl_module, of_step=False))
            if self._bar is None:
                print(line, flush=True)
            else:
                self._bar.write(line)  # above the bar, to the standard output

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
