"""Says what seems wrong with a training while it runs."""

import logging

from lightning.pytorch import Callback, LightningModule, Trainer

from pmodel.figures.figure import epochs_done, evaluating
from pmodel.processes.launch import is_first

log = logging.getLogger("pmodel")


class Health(Callback):
    """After each epoch, asks the model for its `concerns`; each kind is said once, and kept in status.json."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not is_first():
            return
        with evaluating(trainer, pl_module):
            concerns = pl_module.concerns()
        for kind, line in concerns.items():
            if kind not in self.said:
                self.said.append(kind)
                log.warning("epoch %d: %s", epochs_done(trainer), line)

    def state_dict(self) -> dict[str, list[str]]:
        return {"said": self.said}

    def load_state_dict(self, state_dict: dict[str, list[str]]) -> None:
        self.said = list(state_dict["said"])
