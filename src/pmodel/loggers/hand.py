"""What callbacks hand to loggers, besides the numbers that Lightning does: images, and what a run is worth."""

from typing import Any, Literal

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from numpy import ndarray


def log_image(loggers: list[Logger], name: str, image: ndarray, step: int) -> None:
    """Shows an image (height, width, 3), uint8, on each logger that can."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step, dataformats="HWC")
        elif hasattr(logger, "log_image"):  # W&B's, the project's own or Lightning's
            logger.log_image(name, [image], step)


def keep(loggers: list[Logger], what: Literal["numbers", "checkpoint"], *arguments: Any) -> None:
    """Has each logger that can, such as W&B's, keep numbers of the whole run, or a checkpoint as it is at its end."""
    for logger in loggers:
        if method := getattr(logger, f"keep_{what}", None):
            method(*arguments)
