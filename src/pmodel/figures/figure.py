"""What a figure is, what it knows besides its model, and which models and data it fits."""

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

from pmodel.capabilities import Discriminates, GaussianComponents
from pmodel.figures.widget import Widget
from pmodel.plots.frame import Frame
from pmodel.settings.checked import check_arguments


class NotShown(Exception):  # noqa: N818  (nothing is wrong)
    """Raised by a figure: why there is no such image of a model or of its data, in a few words."""


def need(model: LightningModule, *questions: type) -> None:
    """Raises NotShown unless the model answers all of these questions of one method, in `pmodel.capabilities`."""
    for question in questions:
        if not isinstance(model, question):
            method = next(name for name in vars(question) if not name.startswith("_"))
            against = "only for models trained against a discriminator"
            raise NotShown(against if question is Discriminates else f"the model has no {method}")


def is_image(x: Tensor) -> bool:
    """Whether examples (B, …) can be shown as images, (B, 1 or 3, H, W), and there are any."""
    return x.dim() == 4 and x.shape[1] in (1, 3) and len(x) > 0


def need_images(x: Tensor, split: str = "validation") -> Tensor:
    """Examples (B, …) of a split; raises NotShown unless they can be shown as images."""
    if len(x) == 0:
        raise NotShown(f"there are no {split} examples")
    if x.dim() != 4:
        raise NotShown("the data are points, not images")
    if not is_image(x):
        raise NotShown(f"the images have {x.shape[1]} channels, not 1 or 3")
    return x


def need_points(x: Tensor, few: Sequence[int] = (1, 2)) -> Tensor:
    """Examples (B, …); raises NotShown unless they are points, (B, D), of so few dimensions D."""
    if x.dim() != 2:
        raise NotShown("the data are images, not points")
    if x.shape[1] not in few:
        raise NotShown(f"the points have {dimensions(x.shape[1])}, not {' or '.join(map(str, few))}")
    return x


def are_images(x: Tensor, few: Sequence[int] = (1, 2)) -> bool:
    """Whether examples (B, …) are images, and not points of so few dimensions; raises NotShown if they are neither."""
    if x.dim() == 2 and len(x) > 0:
        need_points(x, few)
        return False
    need_images(x)
    return True


def followed(data: LightningDataModule, model: LightningModule) -> str:
    """The `monitor` of the model, which best.ckpt follows; without validation examples that of the training split."""
    return model.monitor if data.split_sizes.get("validation") else model.monitor.replace("val/", "train/")


def dimensions(D: int) -> str:
    return "1 dimension" if D == 1 else f"{D} dimensions"


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

    def images(self, n: int) -> Tensor:
        """n validation images (n, C, H, W), or as many as there are; raises NotShown if there are none."""
        return need_images(self.data.examples("validation", n).x)

    def held_out(self, n: int) -> tuple[Tensor, str]:
        """n validation examples (n, …), or training examples where there are none; and which of the two they are."""
        x = self.data.examples("validation", n).x
        return (x, "validation") if len(x) > 0 else (self.data.examples("train", n).x, "training")

    def restored(self, points: Tensor | np.ndarray) -> np.ndarray:
        """Points (…, D) as the model has them in the units of their source, in which they are drawn."""
        return self.data.restore(torch.as_tensor(points)).numpy()

    def frame(self, axes: Sequence[np.ndarray], title: str) -> Frame:
        """Of coordinates (M,) along each of D axes, likewise."""
        D = len(axes)
        restored = [self.restored(np.stack([axis] * D, 1))[:, d] for d, axis in enumerate(axes)]
        return Frame(restored, self.axis_names(D), title)

    def restored_gaussians(self, model: GaussianComponents) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (K,), means (K, D) and covariances (K, D, D) of a mixture, likewise."""
        return self.restored_gaussian_parts(*(part.cpu().double() for part in model.gaussian_components()))

    def restored_gaussian_parts(
        self, weights: Tensor, means: Tensor, covariances: Tensor
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same of these, float64."""
        scale = torch.as_tensor(self.data.scale).expand(means.shape[1])
        return weights.numpy(), self.restored(means), (covariances * scale[:, None] * scale).numpy()

    def axis_names(self, D: int) -> list[str]:
        """What stands at the axes of D columns."""
        names = self.data.column_names
        if names is None:
            return ["x"] if D == 1 else [f"$x_{{{i + 1}}}$" for i in range(D)]
        # A $ would begin a formula.
        return [(name if len(name) <= 40 else f"{name[:39]}…").replace("$", r"\$") for name in names]


class Figure(ABC):
    """One image of a model.

    name: the key of its settings in conf/; that of its file, and its heading in a report
    group: the part of a report in which it stands, with the numbers of that group; "other" has none
    caption: for a report; what one sees, to a reader who sees it for the first time
    keeps_history: whether its earlier images are kept too, in a folder of that name, to see the training proceed
    of_data: whether it shows the data, which no training changes: drawn once, before the first step
    notes_start: whether it is told of epoch 0 too, of the model as it starts
    """

    name: str
    group: ClassVar[str] = "other"
    caption: ClassVar[str]
    keeps_history = False
    of_data = False
    notes_start = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_arguments(cls, cls.__name__)

    @abstractmethod
    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        """The image (height, width, 3), uint8, of a model in eval mode; no gradients are kept.

        Raises:
            NotShown: if the model or the data have none.
        """

    def widget(self, scene: Scene, model: LightningModule) -> Widget:
        """The same for a page whose reader can move it, of a model in eval mode; no gradients are kept.

        Raises:
            NotShown: if it is a figure to look at, or there is none of the model or of the data.
        """
        raise NotShown("it has nothing to move")

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
    """The model as it is evaluated and saved: in eval mode, without gradients, with its averaged weights."""
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
