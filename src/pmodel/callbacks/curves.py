"""Loss curves over epochs."""

from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from pmodel.callbacks.figures import FigureCallback


class LossCurves(FigureCallback):
    """One panel per logged quantity, training and validation in each; its history is part of the checkpoint."""

    name = "loss_curves"
    MAX_PANELS = 4

    def __init__(self, figures_dir: str, every_n_epochs: int = 10):
        super().__init__(figures_dir, every_n_epochs)
        self.history: dict[str, tuple[list[float], list[float]]] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, value in trainer.callback_metrics.items():
            epochs, values = self.history.setdefault(name, ([], []))
            epochs.append(trainer.current_epoch + 1)
            values.append(value.item())
        super().on_train_epoch_end(trainer, pl_module)

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        from pmodel.reporting.plots import curves

        panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
        for name, curve in self.history.items():
            split, _, quantity = name.partition("/")
            if split in ("train", "val"):
                unit = model.units.get(quantity)
                panels.setdefault(f"{quantity} ({unit})" if unit else quantity, {})[split] = curve
        return curves(dict(list(panels.items())[: self.MAX_PANELS])) if panels else None

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
