"""Says what seems wrong with a training, while it runs and at its end."""

import logging
import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pmodel.callbacks.diagnosis import Curve, averages_lag, learns_badly, overfits, still_improves
from pmodel.capabilities import Discriminates, GaussianComponents
from pmodel.figures.figure import epochs_done, evaluating
from pmodel.processes.launch import is_first
from pmodel.runs.results import Number

log = logging.getLogger("pmodel")

# Held-out examples that a model is asked about, and the most numbers in them: 2^25 float32 are 128 MiB.
NUM_EXAMPLES, MAX_NUMBERS = 2000, 2**25


class Health(Callback):
    """After each epoch, asks the model for its `concerns`; each kind is said once, and kept in status.json. At the end
    it says what it sees in the model and in the course of its `monitor`: see `diagnosis`."""

    def __init__(self) -> None:
        self.said: list[str] = []
        # Of the monitor: epochs and values by split.
        self.history: dict[str, tuple[list[int], list[float]]] = {}
        self._validated = False

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note(trainer, pl_module)
        if not is_first():
            return
        with evaluating(trainer, pl_module):
            concerns = pl_module.concerns()
        for kind, line in concerns.items():
            if kind not in self.said:
                self.said.append(kind)
                log.warning("epoch %d: %s", epochs_done(trainer), line)

    def _note(self, trainer: Trainer, model: LightningModule) -> None:
        """Keeps what was measured of the monitor in this epoch."""
        quantity = model.monitor.partition("/")[2]
        # Lightning keeps the number of an old validation; that of an old Fréchet distance is taken away.
        splits = ["train", *(["val"] if self._validated or quantity == "frechet" else [])]
        self._validated = False
        for split in splits:
            value = trainer.callback_metrics.get(f"{split}/{quantity}")
            if value is not None and math.isfinite(value):
                epochs, values = self.history.setdefault(split, ([], []))
                epochs.append(epochs_done(trainer))
                values.append(value.item())

    def diagnosis(self, trainer: Trainer, numbers: list[Number]) -> list[str]:
        """Sentences on a training that is over, each with the setting to type next, where there is one.

        numbers: what was measured at the end
        """
        model, data = trainer.lightning_module, trainer.datamodule
        split = "validation" if data.split_sizes.get("validation") else "train"
        x = data.examples(split, max(2, min(NUM_EXAMPLES, MAX_NUMBERS // math.prod(data.shape)))).x.to(model.device)
        model.eval()
        with torch.no_grad():
            seen = [*model.remarks(x), *model.concerns().values()] if model.fitted else []
        return [*(model.ending or "").splitlines(), *self._course(trainer), *missing_modes(model, numbers), *seen]

    def _course(self, trainer: Trainer) -> list[str]:
        """What the curves of a training by a gradient say."""
        model, sign = trainer.lightning_module, -1 if trainer.lightning_module.monitor_mode == "max" else 1
        curves = {split: Curve(epochs, [sign * y for y in values]) for split, (epochs, values) in self.history.items()}
        val, name = curves.get("val"), model.monitor
        if val is None or next(model.parameters(), None) is None:
            return []
        found = [still_improves(val, name, longer(trainer)) if model.stopped_early is None else None]
        if "train" in curves:
            lower = f"model.optimizer.lr={trainer.optimizers[0].defaults['lr'] / 10:g}"
            found.append(averages_lag(curves["train"], val, model.ema_decay, trainer.global_step))
            found.append(overfits(curves["train"], val, name))
            found.append(learns_badly(curves["train"], val, name, lower))
        return [line for line in found if line]

    def state_dict(self) -> dict[str, Any]:
        return {"said": self.said, "history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.said = list(state_dict["said"])
        # Runs that were saved before it was kept have none.
        self.history = {split: tuple(map(list, curve)) for split, curve in state_dict.get("history", {}).items()}


def longer(trainer: Trainer) -> str:
    """The setting of a training twice as long as the one that is over."""
    if trainer.max_steps > 0 and trainer.global_step >= trainer.max_steps:
        return f"trainer.max_steps={2 * trainer.max_steps}"
    if trainer.current_epoch == trainer.max_epochs:
        return f"trainer.max_epochs={2 * trainer.max_epochs}"
    return "a larger trainer.max_time"


def missing_modes(model: LightningModule, numbers: list[Number]) -> list[str]:
    """Of samples from a known mixture of points: modes that they leave out."""
    for number in numbers:
        if number["name"] == "modes_covered":
            total = int(number["unit"].removeprefix("of "))
            missing = total - int(number["value"])
            advice = "more steps"
            if isinstance(model, Discriminates):
                advice = "model.objective=wasserstein_gp or model.r1=1"
            elif isinstance(model, GaussianComponents):
                advice = f"model.num_components={total} or more"
            verb = "is" if missing == 1 else "are"
            return [f"{missing} of {total} modes {verb} missing from its samples; try {advice}"] if missing else []
    return []
