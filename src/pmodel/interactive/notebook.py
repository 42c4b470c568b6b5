"""What a notebook shows while a model trains: a bar, and a figure as it comes."""

import html
from io import BytesIO
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from PIL import Image

from pmodel.callbacks.progress import Progress

# Those that show best how far a training has come; of these, the first one that a model has.
FIGURES = ("samples", "reconstructions", "centres", "density", "completions")


class NotebookBar:
    """One line in a notebook, rewritten: how far a training has come, and its numbers. It has what `Progress` uses of
    tqdm."""

    def __init__(self, total: int | None, initial: int):
        from IPython.display import HTML, display

        self.total, self.n, self._what, self._numbers, self._html = total, initial, "", "", HTML
        self._handle = display(HTML(""), display_id=True)

    def set_description_str(self, what: str, refresh: bool = True) -> None:
        self._what = what

    def set_postfix_str(self, numbers: str, refresh: bool = True) -> None:
        self._numbers = numbers

    def refresh(self) -> None:
        share = f' value="{self.n}" max="{self.total}"' if self.total else ""
        steps = f"{self.n:,}" + (f" of {self.total:,}" if self.total else "")
        text = html.escape(f"{self._what}  {steps} steps  {self._numbers}")
        self._handle.update(self._html(f"<progress{share}></progress> <code>{text}</code>"))

    def close(self) -> None:
        """The line stays, as the training left it."""


class NotebookProgress(Progress):
    """The bar of a notebook."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._enabled:
            self._bar = NotebookBar(self._total_steps(trainer), self._steps_done(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The means of the epoch, also of a training whose epochs are shorter than the time between two looks."""
        if self._bar is not None:
            self._bar.n = self._steps_done(trainer)
            self._bar.set_description_str(f"epoch {trainer.current_epoch + 1}")
            self._fit_in(0, self._numbers(trainer, pl_module, of_step=False))
            self._bar.refresh()

    def _fit_in(self, columns: int, numbers: list[str]) -> None:
        """All of them: a notebook wraps its lines."""
        self._bar.set_postfix_str("  ".join(numbers), refresh=False)


class FigureDisplay(Logger):
    """Shows a figure in a notebook; each drawing takes the place of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._figure: str | None = None
        self._handle: Any = None

    @property
    def name(self) -> str:
        return "notebook"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """The bar has them."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """They are in config.yaml."""

    def log_image(self, name: str, images: list[np.ndarray], step: int) -> None:
        from IPython.display import Image as Shown
        from IPython.display import display

        name = name.rpartition("/")[2]
        if name != (self._figure or name) or name not in FIGURES:
            return
        file = BytesIO()
        Image.fromarray(images[0]).save(file, "png")
        image = Shown(file.getvalue(), format="png")
        if self._handle is None:
            self._figure, self._handle = name, display(image, display_id=True)
        else:
            self._handle.update(image)
