"""best.ckpt, the weights that did best on validation, and a few older epochs."""

import logging
import math
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from pmodel.figures.figure import epochs_done, followed
from pmodel.files.run_files import BEST
from pmodel.loggers.hand import keep
from pmodel.runs.saved import read_checkpoint
from pmodel.settings.ranges import Count

log = logging.getLogger("pmodel")


# Of Lightning's state, what are paths of files.
PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class NamedCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint whose key in the state is its class: Lightning's is made anew for each hook of each step."""

    def __init__(self, dirpath: str, filename: str, monitor: str, **settings: Any):
        super().__init__(
            dirpath,
            filename,
            monitor,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
            **settings,
        )

    @property
    def state_key(self) -> str:
        return type(self).__name__

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the state also in a directory that was moved, of which Lightning would forget the best."""

        def here(path: str) -> str:
            return str(Path(self.dirpath) / Path(path).name) if path else path

        moved = {key: here(state_dict[key]) for key in PATHS if key in state_dict}
        scores = {here(path): score for path, score in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict({**state_dict, **moved, "dirpath": self.dirpath, "best_k_models": scores})
        # Lightning leaves it out, though it is part of the state.
        self.current_score = state_dict["current_score"]


class Snapshots(NamedCheckpoint):
    """Keeps the newest `keep` of every n-th epoch, as epoch_012.ckpt."""

    def __init__(self, dirpath: str, every_n_epochs: Count, keep: Count):
        settings = {"mode": "max", "save_top_k": keep, "every_n_epochs": every_n_epochs}
        super().__init__(dirpath, "epoch_{epoch:03d}", "epoch", **settings)


class BestCheckpoint(NamedCheckpoint):
    """Keeps one file, best.ckpt, by the quantity that the model names in `monitor`, and remembers its numbers."""

    def __init__(self, dirpath: str):
        super().__init__(dirpath, BEST.removesuffix(".ckpt"), "val/loss")
        self.best_metrics: dict[str, float] = {}
        self.best_epoch: int | None = None
        self.best_counts: dict[str, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.monitor, self.mode = followed(trainer.datamodule, pl_module), pl_module.monitor_mode
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        best = Path(self.best_model_path)
        if self.best_epoch is None or not best.is_file():
            return
        try:
            fits = read_checkpoint(best, "")["epoch"] + 1 == self.best_epoch
        except ValueError:
            fits = False
        if fits:
            self._hand_over(trainer)
        else:
            # Damaged, or of a later epoch: training goes on from an older checkpoint, or from one that was written just
            # before it was cut.
            self.best_epoch, self.best_metrics, self.best_counts = None, {}, {}
            self.best_model_score, self.best_model_path, self.best_k_models = None, "", {}
            self.kth_best_model_path, self.kth_value = "", torch.tensor(-math.inf if self.mode == "max" else math.inf)

    def _save_topk_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Any]) -> None:
        # What is not measured after every epoch is missing at first, after a resume too.
        if self.monitor in monitor_candidates:
            super()._save_topk_checkpoint(trainer, monitor_candidates)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        if self.best_epoch is None and epochs_done(trainer) > 0:
            log.warning("there is no best.ckpt, since nothing has measured %s after a whole epoch", self.monitor)

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        self.best_metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        self.best_epoch = trainer.current_epoch + 1
        self.best_counts = dict(trainer.lightning_module.counts)
        super()._save_checkpoint(trainer, filepath)
        self._hand_over(trainer)

    def _hand_over(self, trainer: Trainer) -> None:
        numbers = {"epoch": self.best_epoch, **self.best_metrics}
        keep(trainer.loggers, "numbers", "best", numbers)
        keep(trainer.loggers, "checkpoint", "best", Path(self.dirpath) / BEST, numbers)

    def state_dict(self) -> dict[str, Any]:
        own = {"best_metrics": self.best_metrics, "best_epoch": self.best_epoch, "best_counts": self.best_counts}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_metrics, self.best_epoch = state_dict["best_metrics"], state_dict["best_epoch"]
        self.best_counts = state_dict["best_counts"]
        super().load_state_dict(state_dict)
