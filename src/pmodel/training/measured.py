"""What all ways of training share: numbers per example, averaged over each epoch and logged under train/ and val/."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.training.epoch_means import EpochMeans


class MeasuredModule(LightningModule):
    """A model that says what it is judged by: `terms`, named numbers per example."""

    # What best.ckpt follows.
    monitor: str = "val/loss"
    monitor_mode: Literal["min", "max"] = "min"
    # What progress shows besides, of the training examples.
    headline: tuple[str, ...] = ()
    # The unit of each term, per example.
    units: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.train_means, self.val_means = EpochMeans(), EpochMeans()
        # How many examples the means of the last epoch are of, by split; by a number's name where it differs.
        self.counts: dict[str, int] = {}
        # The last step's terms (B,), on the device: read by whoever wants to show them, at no cost to who doesn't.
        self.last_terms: dict[str, Tensor] = {}

    @abstractmethod
    def terms(self, batch: Any) -> dict[str, Tensor]:
        """Named numbers per example, each (B,), summed over pixels."""

    @property
    def num_parameters(self) -> int:
        """How many numbers training chooses."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def ending(self) -> str | None:
        """Whether the training has converged, where it does; a line for the user."""
        return None

    def concerns(self) -> dict[str, str]:
        """What seems wrong at the end of an epoch, by its kind: a line for the user each, with what to try."""
        return {}

    @property
    def fitted(self) -> bool:
        """Whether there is a model to judge and to draw: not before the first fit of one that has no gradient."""
        return True

    def on_train_start(self) -> None:
        self.train_means.to(self.device)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.is_last_batch:
            self._log_means("train", self.train_means)

    def on_validation_epoch_start(self) -> None:
        # The same noise at each validation: epochs differ by their weights alone, and training's noise is untouched.
        self._training_rng = torch.get_rng_state(), _cuda_rng_state(self.device)
        torch.manual_seed(0)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.val_means.update(self.terms(batch))

    def on_validation_epoch_end(self) -> None:
        cpu_state, cuda_state = self._training_rng
        torch.set_rng_state(cpu_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state, self.device)
        self._log_means("val", self.val_means)

    def sum_over_devices(self, x: Tensor) -> Tensor:
        """The sum of a tensor over all devices, each of which gets it."""
        return self.trainer.strategy.reduce(x.clone(), reduce_op="sum")

    def _log_means(self, split: str, means: EpochMeans) -> None:
        values, self.counts[split] = means.compute(self.sum_over_devices)
        means.reset()
        self.log_epoch(split, values)

    def log_epoch(self, split: str, values: dict[str, float]) -> None:
        """Logs numbers that are means over an epoch and over all devices already."""
        # No sync_dist: the first process to read such a metric would wait for the others.
        named = {f"{split}/{name}": value for name, value in values.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["epoch_means"] = self.train_means.state_dict(self.sum_over_devices)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.train_means.load_state_dict(checkpoint["epoch_means"], empty=not self.takes_sums)

    @property
    def takes_sums(self) -> bool:
        """Whether this process goes on with a checkpoint's sums, which are over all devices: only one may."""
        return self._trainer is None or self._trainer.is_global_zero


def _cuda_rng_state(device: torch.device) -> Tensor | None:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None
