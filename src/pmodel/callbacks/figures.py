"""When figures are drawn, and where they go."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from pmodel.figures.figure import Figure, NotShown, Scene, epochs_done, evaluating, scene_of
from pmodel.figures.widget import Widget
from pmodel.instantiate import instantiate
from pmodel.loggers.hand import log_image
from pmodel.processes.bar import Bar
from pmodel.processes.launch import is_first
from pmodel.settings.ranges import Count

# What learns fastest, k-means and EM, changes most in the first epochs.
EARLY_EPOCHS = (1, 2, 5)


class Figures(Callback):
    """Draws after epochs 1, 2 and 5, each `every_n_epochs` and at the end, with null at the end alone:
    figures/<name>.png and the loggers. What is `of_data` is drawn before the first step alone, and not again by a run
    that goes on.

    Each drawing takes the place of the one before; a figure that `keeps_history` also leaves those after such epochs in
    figures/<name>/epoch_001.png, ….

    All figures are one callback, because each callback costs every training step its seven empty hooks.

    Args:
        include: a dict with a `_target_`, a `Figure`, by its name; null leaves that figure out.
    """

    def __init__(self, figures_dir: str, include: dict[str, dict | None], every_n_epochs: Count | None):
        self.figures_dir = Path(figures_dir)
        self.every_n_epochs = every_n_epochs
        self.figures: list[Figure] = []
        for name, node in include.items():
            if node:
                self.figures.append(instantiate(node))
                self.figures[-1].name = name
        self._drawn_at = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        missing = [f for f in self.figures if f.of_data and not (self.figures_dir / f"{f.name}.png").exists()]
        for figure in missing if is_first() else ():
            self._keep(trainer, figure, image_of(figure, scene_of(trainer), pl_module))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not earlier: a model without a gradient chooses its start when training begins, after the callbacks.
        for figure in self.figures if epochs_done(trainer) == 0 else ():
            if figure.notes_start:
                figure.note(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for figure in self.figures:
            figure.note(trainer)
        epoch = epochs_done(trainer)
        if self.every_n_epochs and (epoch in EARLY_EPOCHS or epoch % self.every_n_epochs == 0):
            self._show(trainer, pl_module, f"epoch_{epoch:03d}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawn_at != batches_done(trainer):
            self._show(trainer, pl_module)

    def _show(self, trainer: Trainer, model: LightningModule, moment: str | None = None) -> None:
        self._drawn_at = batches_done(trainer)
        if not (is_first() and model.fitted):
            return
        with evaluating(trainer, model):
            for figure, image in self.drawn(scene_of(trainer), model):
                self._keep(trainer, figure, image, moment)

    def _keep(self, trainer: Trainer, figure: Figure, image: np.ndarray | NotShown, moment: str | None = None) -> None:
        if isinstance(image, NotShown):
            return
        names = [figure.name, f"{figure.name}/{moment}"] if figure.keeps_history and moment else [figure.name]
        for path in (self.figures_dir / f"{name}.png" for name in names):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        # The step of the numbers that Lightning logged last: it counts batches from 0, and no player's steps.
        step = max(trainer.fit_loop.epoch_loop._batches_that_stepped - 1, 0)
        log_image(trainer.loggers, f"figures/{figure.name}", image, step)

    def drawn(self, scene: Scene, model: LightningModule) -> Iterator[tuple[Figure, np.ndarray | NotShown]]:
        """Each figure of the model with its image, or why there is none; of a model in eval mode.

        After training: those of the history that `load_state_dict` was given, of a checkpoint its
        ["callbacks"][`state_key`].
        """
        with Bar(len(self._of_models), "drawing figures") as bar:
            for figure in self._of_models:
                yield figure, image_of(figure, scene, model)
                bar.update()

    def widgets(self, scene: Scene, model: LightningModule) -> Iterator[tuple[Figure, Widget]]:
        """Each figure of the model that a page's reader can move, after `drawn` was asked for the same."""
        for figure in self._of_models:
            with torch.no_grad(), suppress(NotShown):
                yield figure, figure.widget(scene, model)

    @property
    def captions(self) -> dict[str, dict[str, str]]:
        """What a report says about each figure of a model, by their names, in its order."""
        return {
            figure.name: {
                "title": figure.name.replace("_", " ").capitalize(),
                "caption": figure.caption,
                "group": figure.group,
            }
            for figure in self._of_models
        }

    @property
    def _of_models(self) -> list[Figure]:
        return [figure for figure in self.figures if not figure.of_data]

    def state_dict(self) -> dict[str, Any]:
        return {figure.name: figure.state for figure in self.figures if figure.state is not None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for figure in self.figures:
            figure.state = state_dict.get(figure.name, figure.state)


def image_of(figure: Figure, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
    """What a figure draws, without gradients, or why it draws nothing."""
    try:
        with torch.no_grad():
            return figure.draw(scene, model)
    except NotShown as reason:
        return reason


def batches_done(trainer: Trainer) -> int:
    """How many batches the model was trained on."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.processed
