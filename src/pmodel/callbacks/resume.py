"""Random states in the checkpoint, so that a resumed run draws the same noise as one that never stopped."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pmodel.loggers.csv import forget_rows, write_rows
from pmodel.processes.group import of_all_processes


class ExactResume(Callback):
    """Saves the states of Python's, NumPy's and PyTorch's generators and restores them when training starts.

    Each process has its own. A checkpoint of another number of processes gives all of them those of the first: what
    training draws is then the same (see `pmodel.nets.batch_share`), and anything else differs.

    A run that was cut after its last step, while it drew its figures or wrote its results, ends once more.

    What was logged before a checkpoint is in metrics.csv before that is written, and what was logged after it is taken
    out when training goes on from there.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None
        self._limits: tuple[int | None, int] | None = None

    def state_dict(self) -> dict[str, Any]:
        # Lightning asks all processes for it, and the first one writes it.
        return {"processes": of_all_processes(random_states())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        write_rows(trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Lets Lightning begin a training of which no step is left, and call the hooks of its end."""
        loop = trainer.fit_loop
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        if epochs == loop.max_epochs or checkpoint["global_step"] == loop.max_steps:
            self._limits = loop.max_epochs, loop.max_steps
            loop.max_epochs = loop.max_epochs + 1 if loop.max_epochs > 0 else -1
            loop.epoch_loop.max_steps = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._restored is None:
            return
        if self._limits is not None:
            trainer.fit_loop.max_epochs, trainer.fit_loop.epoch_loop.max_steps = self._limits
            self._limits = None
        states = self._restored["processes"]
        self._restored = None
        _leave_finished_epoch(trainer)
        forget_rows(trainer)
        restore_random_states(states[trainer.global_rank if len(states) == trainer.world_size else 0])


def random_states() -> dict[str, Any]:
    """The states of all generators of this process, as tensors and plain values."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Sets all generators of this process; those of GPUs, if there are as many as there were."""
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"].cpu())
    if len(states["cuda"]) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])


def _leave_finished_epoch(trainer: Trainer) -> None:
    """Lets a run that was saved at an epoch's end begin the next one.

    With `max_steps`, Lightning 2.6 takes any checkpoint for one inside an epoch, and would end that epoch once more:
    schedules and epoch counts would be one ahead.
    """
    loop = trainer.fit_loop
    if loop.restarted_on_epoch_end:
        loop._restarting = loop.epoch_loop.restarting = False
        loop.reset_restart_stage()
        loop.epoch_progress.increment_completed()
