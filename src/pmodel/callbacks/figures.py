"""The base of every figure: when it is drawn, and where it goes."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from PIL import Image

from pmodel.loggers import log_image


class FigureCallback(Callback):
    """Draws after the first epoch, each `every_n_epochs` and at the end: figures/<name>.png and the loggers."""

    name: str

    def __init__(self, figures_dir: str, every_n_epochs: int = 10):
        self.figures_dir = Path(figures_dir)
        self.every_n_epochs = every_n_epochs
        self._drawn_at = -1

    @abstractmethod
    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        """The picture (height, width, 3), uint8; None if the model or the data have no such picture."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch == 1 or epoch % self.every_n_epochs == 0:
            self._show(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawn_at != trainer.global_step:
            self._show(trainer, pl_module)

    def _show(self, trainer: Trainer, model: LightningModule) -> None:
        self._drawn_at = trainer.global_step
        if not trainer.is_global_zero:
            return
        with evaluating(trainer, model):
            picture = self.draw(trainer, model)
        if picture is None:
            return
        self.figures_dir.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(self.figures_dir / f"{self.name}.png")
        log_image(trainer.loggers, f"figures/{self.name}", picture, trainer.global_step)


@contextmanager
def evaluating(trainer: Trainer, model: LightningModule) -> Iterator[None]:
    """The model as it is judged and saved: in eval mode, without gradients, with averaged weights if it keeps any."""
    averages = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]
    was_training = model.training
    model.eval()
    for callback in averages:
        callback.on_validation_epoch_start(trainer, model)
    try:
        with torch.no_grad():
            yield
    finally:
        for callback in averages:
            callback.on_validation_epoch_end(trainer, model)
        model.train(was_training)
