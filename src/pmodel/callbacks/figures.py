"""When figures are drawn, and where they go."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from PIL import Image
from torch import Tensor

from pmodel.bar import Bar
from pmodel.capabilities import GaussianComponents
from pmodel.instantiate import instantiate
from pmodel.loggers import log_image
from pmodel.ranges import Count


@dataclass(frozen=True)
class Scene:
    """What a figure knows besides its model, in training and after it.

    data: the data module that the model was trained on, after its `setup("fit")`
    epochs: how many the model was trained
    """

    data: LightningDataModule
    epochs: int

    @property
    def moment(self) -> str:
        """How far the training has come, for a title."""
        return f"after {self.epochs} {'epoch' if self.epochs == 1 else 'epochs'}"

    def held_out(self, n: int) -> tuple[Tensor, str]:
        """n validation examples (n, …), or as many of training where there are none; and which of the two, for a
        title."""
        x = self.data.examples("validation", n).x
        return (x, "validation") if len(x) > 0 else (self.data.examples("train", n).x, "training")

    def restored(self, points: Tensor | np.ndarray) -> np.ndarray:
        """Points (…, D) as the model has them in the units of their source, in which they are drawn."""
        return self.data.restore(torch.as_tensor(points)).numpy()

    def restored_axes(self, axes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Coordinates (M,) along each of D axes, likewise."""
        longest = max(map(len, axes))
        padded = np.stack([np.pad(axis, (0, longest - len(axis)), "edge") for axis in axes], 1)
        return [column[: len(axis)] for column, axis in zip(self.restored(padded).T, axes, strict=True)]

    def restored_gaussians(self, model: GaussianComponents) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (K,), means (K, D) and covariances (K, D, D) of a mixture, likewise."""
        weights, means, covariances = (part.cpu().double() for part in model.gaussian_components())
        scale = torch.as_tensor(self.data.scale).expand(means.shape[1])
        return weights.numpy(), self.restored(means), (covariances * scale[:, None] * scale).numpy()

    def axis_names(self, D: int) -> list[str]:
        """What stands at the axes of D columns."""
        names = self.data.column_names
        if names is None:
            return ["x"] if D == 1 else [f"$x_{{{i + 1}}}$" for i in range(D)]
        # A $ would begin a formula.
        return [(name if len(name) <= 40 else f"{name[:39]}…").replace("$", r"\$") for name in names]


@dataclass(frozen=True)
class NotShown:
    """Why there is no such picture of a model or of its data, in a few words."""

    reason: str


class Figure(ABC):
    """One picture of a model; its name is that of its file.

    keeps_history: whether its earlier pictures are kept too, in a folder of that name, to see the training proceed
    of_data: whether it shows the data, which no training changes: drawn once, before the first step
    """

    name: str
    keeps_history = False
    of_data = False

    @abstractmethod
    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
        """The picture (height, width, 3), uint8, or why the model or the data have none.

        The model is in eval mode, and no gradients are kept.
        """

    def note(self, trainer: Trainer) -> None:  # noqa: B027  (most figures have no history)
        """Called after every epoch, drawn or not, for a figure that shows a history; that is its `state`."""

    state: Any = None


# What learns fastest, k-means and EM, changes most in the first epochs.
EARLY_EPOCHS = (1, 2, 5)


class Figures(Callback):
    """Draws after epochs 1, 2 and 5, each `every_n_epochs` and at the end: figures/<name>.png and the loggers. What is
    `of_data` is drawn before the first step alone, and not again by a run that goes on.

    Each drawing takes the place of the one before; a figure that `keeps_history` also leaves those after such epochs in
    figures/<name>/epoch_001.png, ….

    All figures are one callback, because each callback costs every training step its seven empty hooks.

    Args:
        include: a dict with a `_target_`, a `Figure`, by any name; null leaves that figure out.
    """

    def __init__(self, figures_dir: str, include: dict[str, dict | None], every_n_epochs: Count = 10):
        if every_n_epochs < 1:
            raise ValueError(f"callbacks.figures.every_n_epochs={every_n_epochs}: expected at least 1")
        self.figures_dir = Path(figures_dir)
        self.every_n_epochs = every_n_epochs
        self.figures: list[Figure] = [instantiate(node) for node in include.values() if node]
        self._drawn_at = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        missing = [f for f in self.figures if f.of_data and not (self.figures_dir / f"{f.name}.png").exists()]
        if trainer.is_global_zero:
            for figure in missing:
                self._keep(trainer, figure, figure.draw(scene_of(trainer), pl_module))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for figure in self.figures:
            figure.note(trainer)
        epoch = epochs_done(trainer)
        if epoch in EARLY_EPOCHS or epoch % self.every_n_epochs == 0:
            self._show(trainer, pl_module, f"epoch_{epoch:03d}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawn_at != batches_done(trainer):
            self._show(trainer, pl_module)

    def _show(self, trainer: Trainer, model: LightningModule, moment: str | None = None) -> None:
        self._drawn_at = batches_done(trainer)
        if not (trainer.is_global_zero and model.fitted):
            return
        with evaluating(trainer, model):
            for figure, picture in self.drawn(scene_of(trainer), model):
                self._keep(trainer, figure, picture, moment)

    def _keep(
        self, trainer: Trainer, figure: Figure, picture: np.ndarray | NotShown, moment: str | None = None
    ) -> None:
        if isinstance(picture, NotShown):
            return
        self._save(picture, self.figures_dir / f"{figure.name}.png")
        if figure.keeps_history and moment:
            self._save(picture, self.figures_dir / figure.name / f"{moment}.png")
        log_image(trainer.loggers, f"figures/{figure.name}", picture, step_of_loggers(trainer))

    def drawn(self, scene: Scene, model: LightningModule) -> Iterator[tuple[Figure, np.ndarray | NotShown]]:
        """Each figure of the model with its picture, or why there is none; of a model in eval mode.

        After training: those of the history that `load_state_dict` was given, of a checkpoint its
        ["callbacks"][`state_key`].
        """
        figures = [figure for figure in self.figures if not figure.of_data]
        with Bar(len(figures), "drawing figures") as bar:
            for figure in figures:
                with torch.no_grad():
                    picture = figure.draw(scene, model)
                yield figure, picture
                bar.update()

    def _save(self, picture: np.ndarray, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)

    def state_dict(self) -> dict[str, Any]:
        return {figure.name: figure.state for figure in self.figures if figure.state is not None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for figure in self.figures:
            figure.state = state_dict.get(figure.name, figure.state)


def scene_of(trainer: Trainer) -> Scene:
    """What figures know while a model trains."""
    return Scene(trainer.datamodule, epochs_done(trainer))


def epochs_done(trainer: Trainer) -> int:
    """How many epochs are complete, the one at whose end we are among them; `current_epoch` counts it only later."""
    return trainer.fit_loop.epoch_progress.current.processed


def batches_done(trainer: Trainer) -> int:
    """How many batches the model was trained on."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.processed


def step_of_loggers(trainer: Trainer) -> int:
    """The step under which Lightning has logged the last numbers: it counts batches from 0, and no player's steps."""
    return max(trainer.fit_loop.epoch_loop._batches_that_stepped - 1, 0)


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
