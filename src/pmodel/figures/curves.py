"""Loss curves over epochs."""

import math

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from pmodel.figures.figure import Figure, NotShown, Scene, followed
from pmodel.plots.frame import Curve

# How far numbers of float32 may be from a constant multiple of others, as a share of their size.
ROUNDING = 1e-6


class LossCurves(Figure):
    """One panel per logged quantity, training and validation in each; its history is part of the checkpoint.

    First comes the `monitor` of the model, then its `headline`, then the rest as they are logged. A line marks the
    epoch of best.ckpt. Quantities that a model names together in its `panels`, a dict from a title to names, share a
    panel. A quantity that is another one times a constant, such as −1, is named in the title of the other's panel.
    """

    group = "cost"
    caption = (
        "The quantities of training over the epochs: where the validation curve turns while the other falls "
        "on, the model has begun to learn by heart. The line marks the epoch whose weights were kept."
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
        names = {"train": "train", "val": getattr(model, "validation_name", "val")}
        quantities: dict[str, dict[str, Curve]] = {}
        for name, curve in sorted(self.state.items()):
            split, _, quantity = name.partition("/")
            if split in names:
                quantities.setdefault(quantity, {})[names[split]] = curve
        logged = dict.fromkeys(name.partition("/")[2] for name in self.state)
        first = [model.monitor.partition("/")[2], *getattr(model, "headline", ())]
        order = [name for name in dict.fromkeys([*first, *logged]) if has_a_line(quantities.get(name, {}))]
        if not order:
            raise NotShown("one epoch makes no curve" if quantities else "nothing was logged in training")
        shared = {name: title for title, names in getattr(model, "panels", {}).items() for name in names}
        multiples = multiples_of_each({name: quantities[name] for name in order if name not in shared})
        panels: dict[str, dict[str, Curve]] = {}
        for name in order:
            if name in shared:
                panel = panels.setdefault(shared[name], {})
                panel |= {f"{name}, {split}": curve for split, curve in quantities[name].items()}
            elif name in multiples:
                panels[title_of(name, model.units.get(name), multiples[name])] = quantities[name]
        from pmodel.plots.plots import curves

        shows_monitor = order[0] == first[0]
        mode = getattr(model, "monitor_mode", "min")
        best = best_epoch(self.state, followed(scene.data, model), mode) if shows_monitor else None
        return curves(dict(list(panels.items())[: self.MAX_PANELS]), best)


def has_a_line(curves: dict[str, Curve]) -> bool:
    """Whether one of these is more than a single dot."""
    return any(len(epochs) > 1 for epochs, _ in curves.values())


def best_epoch(history: dict[str, Curve], monitor: str, mode: str) -> tuple[int, float] | None:
    """The epoch of best.ckpt, the first one with the best value of the monitor, and that value; None: not measured."""
    measured = zip(*history.get(monitor, ([], [])), strict=True)
    known = [(epoch, value) for epoch, value in measured if not math.isnan(value)]
    better = max if mode == "max" else min
    return better(known, key=lambda point: point[1], default=None)


def multiples_of_each(quantities: dict[str, dict[str, Curve]]) -> dict[str, dict[str, float]]:
    """The quantities that are drawn, in order; for each one the others that are a multiple of it, and the factor."""
    drawn: dict[str, dict[str, float]] = {}
    for name, curves in quantities.items():
        factors = ((kept, factor_between(quantities[kept], curves)) for kept in drawn)
        same = next(((kept, factor) for kept, factor in factors if factor is not None), None)
        if same is None:
            drawn[name] = {}
        else:
            drawn[same[0]][name] = same[1]
    return drawn


def factor_between(curves: dict[str, Curve], others: dict[str, Curve]) -> float | None:
    """c, if all the others, by split, are c times these, at the same epochs; None if there is no such c."""
    if not set(others) <= set(curves) or any(others[split][0] != curves[split][0] for split in others):
        return None
    x, y = (np.concatenate([part[split][1] for split in others]) for part in (curves, others))
    if not (np.isfinite(x).all() and np.isfinite(y).all() and x.any() and np.ptp(x) > 10 * ROUNDING * np.abs(x).max()):
        return None
    factor = float(x @ y / (x @ x))
    if factor == 0 or np.abs(y - factor * x).max() > ROUNDING * np.abs(y).max():
        return None
    return float(np.sign(factor)) if abs(abs(factor) - 1) < ROUNDING else factor


def title_of(name: str, unit: str | None, others: dict[str, float]) -> str:
    """A quantity, its unit, and what else its panel shows: by what factor others are larger."""
    same = [f"= {'−' * (factor < 0)}{other}" for other, factor in others.items() if abs(factor) == 1]
    title = " ".join([name, *same, *([f"({unit})"] if unit else [])])
    scaled = [f"{other} is {factor:,.4g} × this" for other, factor in others.items() if abs(factor) != 1]
    return "\n".join([title, *scaled]).replace(" -", " −")
