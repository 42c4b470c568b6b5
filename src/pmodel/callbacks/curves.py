"""Loss curves over epochs."""

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from pmodel.callbacks.figures import Figure


class LossCurves(Figure):
    """One panel per logged quantity, training and validation in each; its history is part of the checkpoint."""

    name = "loss_curves"
    MAX_PANELS = 4

    def __init__(self) -> None:
        # Epochs and values by the metric's name.
        self.state: dict[str, tuple[list[float], list[float]]] = {}

    def note(self, trainer: Trainer) -> None:
        for name, value in trainer.callback_metrics.items():
            epochs, values = self.state.setdefault(name, ([], []))
            epochs.append(trainer.current_epoch + 1)
            values.append(value.item())

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        from pmodel.reporting.plots import curves

        panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
        for name, curve in self.state.items():
            split, _, quantity = name.partition("/")
            if split in ("train", "val"):
                unit = model.units.get(quantity)
                panels.setdefault(f"{quantity} ({unit})" if unit else quantity, {})[split] = curve
        return curves(dict(list(panels.items())[: self.MAX_PANELS])) if panels else None
