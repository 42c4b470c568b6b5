"""What a film is: pictures of a training at one moment after another, which together move."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from lightning.pytorch import LightningModule

from pmodel.figures.figure import Scene
from pmodel.settings.checked import check_arguments

When = Literal["epochs", "batches", "end"]


class Film(ABC):
    """One kind of film.

    frames_per_second: at which one can follow
    """

    frames_per_second: ClassVar[float] = 6.0

    # Plain values that later frames need, such as the way of the centres so far; part of a checkpoint.
    state: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_arguments(cls, cls.__name__)

    def when(self, model: LightningModule) -> When:
        """`epochs`: at the start and after epochs, as models without a gradient learn; `batches`: at the start and
        after batches; `end`: all at once, of the trained model."""
        return "epochs" if is_fitted_by_epochs(model) else "batches"

    @abstractmethod
    def check(self, scene: Scene, model: LightningModule) -> None:
        """
        Raises:
            NotShown: if there is no such film of the model or of the data.
        """

    def see(self, model: LightningModule, batch: Any) -> None:  # noqa: B027  (most films ask the model alone)
        """Called after each batch of training, of a film of batches."""

    @abstractmethod
    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        """The pictures (height, width, 3), uint8, of a model in eval mode at this moment, with fixed noise and the same
        axes as at any other, as far as possible; no gradients are kept.

        step: the batches that the model was trained on
        """


def is_fitted_by_epochs(model: LightningModule) -> bool:
    """Whether a model changes once per epoch, without a gradient."""
    return hasattr(model, "num_refits")


def after(count: int, what: str) -> str:
    """ "after 1 step", "after 2 steps"; at 0 "at the start"."""
    return "at the start" if count == 0 else f"after {count:,} {what}{'' if count == 1 else 's'}"
