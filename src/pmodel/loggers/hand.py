"""What callbacks hand to loggers, besides the numbers that Lightning does: images, and what a run is worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from numpy import ndarray


def log_image(loggers: list[Logger], name: str, image: ndarray, step: int) -> None:
    """Shows an image (height, width, 3), uint8, on each logger that can."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step, dataformats="HWC")
        elif hasattr(logger, "log_image"):  # W&B's, the project's own or Lightning's
            logger.log_image(name, [image], step)


def keep_numbers(loggers: list[Logger], group: str, numbers: Mapping[str, float]) -> None:
    """Has each logger that can keep numbers of the whole run, in place of those of that group that it had."""
    for logger in loggers:
        if hasattr(logger, "keep_numbers"):
            logger.keep_numbers(group, numbers)


def keep_checkpoint(loggers: list[Logger], name: str, path: str | Path, about: Mapping[str, Any]) -> None:
    """Has each logger that can keep a checkpoint, as it is when training ends."""
    for logger in loggers:
        if hasattr(logger, "keep_checkpoint"):
            logger.keep_checkpoint(name, path, about)
