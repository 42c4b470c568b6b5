"""Loss curves over epochs."""

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from pmodel.figures.figure import Figure, NotShown, Scene

Curve = tuple[list[float], list[float]]


class LossCurves(Figure):
    """One panel per logged quantity, training and validation in each; its history is part of the checkpoint.

    First comes the `monitor` of the model, then its `headline`, then the rest as they are logged.
    Quantities that a model names together in its `panels`, a dict from a title to names, share a panel.
    """

    group = "cost"
    caption = (
        "The quantities of training over the epochs: where the validation curve turns while the other falls "
        "on, the model has begun to learn by heart."
    )
    MAX_PANELS = 8

    def __init__(self) -> None:
        # Epochs and values by the metric's name.
        self.state: dict[str, Curve] = {}

    def note(self, trainer: Trainer) -> None:
        for name, value in trainer.callback_metrics.items():
            epochs, values = self.state.setdefault(name, ([], []))
            epochs.append(trainer.current_epoch + 1)
            values.append(value.item())

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        from pmodel.plots.plots import curves

        names = {"train": "train", "val": getattr(model, "validation_name", "val")}
        quantities: dict[str, dict[str, Curve]] = {}
        for name, curve in self.state.items():
            split, _, quantity = name.partition("/")
            if split in names:
                quantities.setdefault(quantity, {})[names[split]] = curve
        first = [model.monitor.partition("/")[2], *getattr(model, "headline", ())]
        shared = {name: title for title, names in getattr(model, "panels", {}).items() for name in names}
        panels: dict[str, dict[str, Curve]] = {}
        for name in dict.fromkeys([*first, *quantities]):
            unit = model.units.get(name)
            panel = panels.setdefault(shared.get(name, f"{name} ({unit})" if unit else name), {})
            for split, curve in sorted(quantities.get(name, {}).items()):
                panel[f"{name}, {split}" if name in shared else split] = curve
        panels = {title: lines for title, lines in panels.items() if lines}
        if not panels:
            raise NotShown("nothing was logged in training")
        return curves(dict(list(panels.items())[: self.MAX_PANELS]))
