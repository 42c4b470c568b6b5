"""What a figure is, and what it knows besides its model."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from pmodel.capabilities import GaussianComponents
from pmodel.settings.checked import check_arguments


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
    """Why there is no such image of a model or of its data, in a few words."""

    reason: str


class Figure(ABC):
    """One image of a model; its name is that of its file.

    title, caption: for a report; what one sees, to a reader who sees it for the first time
    caption_of_points: where that is something else for points than for images
    keeps_history: whether its earlier images are kept too, in a folder of that name, to see the training proceed
    of_data: whether it shows the data, which no training changes: drawn once, before the first step
    """

    name: str
    title: ClassVar[str]
    caption: ClassVar[str]
    caption_of_points: ClassVar[str | None] = None
    keeps_history = False
    of_data = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_arguments(cls, cls.__name__)

    @abstractmethod
    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
        """The image (height, width, 3), uint8, or why the model or the data have none.

        The model is in eval mode, and no gradients are kept.
        """

    def note(self, trainer: Trainer) -> None:  # noqa: B027  (most figures have no history)
        """Called after every epoch, drawn or not, for a figure that shows a history; that is its `state`."""

    state: Any = None


def scene_of(trainer: Trainer) -> Scene:
    """What figures know while a model trains."""
    return Scene(trainer.datamodule, epochs_done(trainer))


def epochs_done(trainer: Trainer) -> int:
    """How many epochs are complete, the one at whose end we are among them; `current_epoch` counts it only later."""
    return trainer.fit_loop.epoch_progress.current.processed


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
