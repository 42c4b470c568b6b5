"""Loggers: a CSV file that a resumed run goes on with, and W&B that never asks for an account."""

import csv
import os
import secrets
import time
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy import ndarray


class CSVLogger(Logger):
    """Writes metrics.csv, one row per step at which anything was logged; empty cells for what was not.

    Lightning's own logger deletes what an earlier process wrote; this one goes on with it, from the step of the
    checkpoint on.
    """

    SECONDS_BETWEEN_WRITES = 2.0

    def __init__(self, save_dir: str):
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
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

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        step = step or 0
        # Later rows were written by a process that was cut after its last checkpoint.
        while self.rows and next(reversed(self.rows)) > step:
            self.rows.popitem()
        self.rows.setdefault(step, {"step": step}).update(metrics)

    @rank_zero_only
    def save(self) -> None:
        if time.monotonic() - self._written > self.SECONDS_BETWEEN_WRITES:
            self._write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        names = {name for row in self.rows.values() for name in row} - {"epoch", "step"}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".csv.tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["step", "epoch", *sorted(names)])
            writer.writeheader()
            writer.writerows(self.rows[step] for step in sorted(self.rows))
        temporary.replace(self.path)


class WandbLogger(LightningWandbLogger):
    """W&B under an id kept in the run directory, so that a resumed run goes on as the same W&B run.

    Without an account it works offline and says so in one line.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = "pmodel",
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        offline: bool = False,
        log_model: bool | str = False,
    ):
        import wandb

        folder = Path(save_dir)
        folder.mkdir(parents=True, exist_ok=True)
        id_file = folder / "wandb_id"
        if not id_file.exists():
            id_file.write_text(secrets.token_hex(4) + "\n", encoding="utf-8")
        by_user = offline or os.environ.get("WANDB_MODE") in ("offline", "dryrun", "disabled")
        if not by_user and not wandb.login(prompt=False, verify=False):
            print("W&B: no account on this machine, so this run is logged offline (`wandb login` changes that)")
            offline = True
        # Lightning's own `offline` would set WANDB_MODE for every later run of this process.
        mode = {"mode": "offline", "settings": wandb.Settings(silent=True)} if offline else {}
        super().__init__(
            save_dir=save_dir,
            project=project,
            name=name or "/".join(folder.absolute().parts[-2:]),
            id=id_file.read_text(encoding="utf-8").strip(),
            resume=None if offline else "allow",
            group=group,
            tags=tags,
            log_model=log_model and not (offline or by_user),
            **mode,
        )
        # W&B warns of this argument, which Lightning always passes.
        self._wandb_init.pop("anonymous", None)


def log_image(loggers: list[Logger], name: str, image: ndarray, step: int) -> None:
    """Shows a picture (height, width, 3), uint8, on each logger that can."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step, dataformats="HWC")
        elif isinstance(logger, LightningWandbLogger):
            logger.log_image(name, [image])
