"""A CSV file that a resumed run goes on with."""

import csv
import io
import logging
import time
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger

from pmodel.files.atomic import NotWritten, write_atomically
from pmodel.files.run_files import METRICS
from pmodel.processes.launch import first_only

log = logging.getLogger("pmodel")


class CSVLogger(Logger):
    """Writes metrics.csv, one row per step at which anything was logged; empty cells for what was not.

    Lightning's own logger deletes what an earlier process wrote; this one goes on with it, from the step of the
    checkpoint on.
    """

    SECONDS_BETWEEN_WRITES = 2.0

    def __init__(self, save_dir: str):
        super().__init__()
        self.path = Path(save_dir) / METRICS
        self.rows: dict[int, dict[str, Any]] = {}
        self._written = time.monotonic()
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows = {int(row["step"]): {k: v for k, v in row.items() if v} for row in csv.DictReader(file)}

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @first_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        step = step or 0
        # Later rows were written by a process that was cut after its last checkpoint.
        self.forget(step + 1)
        self.rows.setdefault(step, {"step": step}).update(metrics)

    def forget(self, step: int) -> None:
        """Drops the rows from a step on."""
        while self.rows and next(reversed(self.rows)) >= step:
            self.rows.popitem()

    @first_only
    def save(self) -> None:
        if time.monotonic() - self._written > self.SECONDS_BETWEEN_WRITES:
            self.flush()

    @first_only
    def finalize(self, status: str) -> None:
        try:
            self.flush()
        except NotWritten as error:
            if status == "success":
                raise
            log.warning(str(error))  # what ended the training is being said

    @first_only
    def flush(self) -> None:
        """Has metrics.csv hold all rows.

        Raises:
            NotWritten: of one line, if the disk is full or the folder can't be written to.
        """
        self._written = time.monotonic()
        names = {name for row in self.rows.values() for name in row} - {"epoch", "step"}
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["step", "epoch", *sorted(names)])
        writer.writeheader()
        writer.writerows(self.rows[step] for step in sorted(self.rows))
        write_atomically(self.path, text.getvalue().encode())


def write_rows(trainer: Trainer) -> None:
    """Has metrics.csv hold all that was logged so far, for a checkpoint that is about to be written.

    At an epoch's end that is when its last hooks are called, and Lightning passes its numbers on only after them.
    """
    connector = trainer._logger_connector
    for logger in trainer.loggers:
        if isinstance(logger, CSVLogger):
            # None between the last step of an epoch and the first one of the next.
            if connector._first_loop_iter is None and (values := connector.metrics["log"]):
                row = {"epoch": trainer.current_epoch, **convert_tensors_to_scalars(values)}
                logger.log_metrics(row, trainer.fit_loop.epoch_loop._batches_that_stepped - 1)
            logger.flush()


def forget_rows(trainer: Trainer) -> None:
    """Takes out of metrics.csv what a process logged after the checkpoint from which training goes on."""
    for logger in trainer.loggers:
        if isinstance(logger, CSVLogger):
            logger.forget(trainer.global_step)
