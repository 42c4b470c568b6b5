"""What all ways of training share: numbers per example, averaged over each epoch and logged under train/ and val/.

Each must be finite: a training whose loss is infinite or NaN ends at once. On a CPU that is looked at in each step,
before the gradient; on a GPU, where each look waits for the device, in the steps that are logged, at the end of each
epoch, and before a checkpoint is written.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

import torch
from lightning.fabric.utilities.seed import reset_seed
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from pmodel.data.batch import StepBatch, as_step_batch
from pmodel.nets.batch_share import share
from pmodel.processes.group import of_all_processes
from pmodel.settings.checked import check_arguments
from pmodel.training.divergence import Diverged, diverged, not_finite
from pmodel.training.epoch_means import EpochMeans, merged
from pmodel.training.training_data import data_of


class MeasuredModule(LightningModule):
    """A model that says what it is measured by: `terms`, named numbers per example.

    Of all models, `data_shape` is that of one example, (C, H, W) or (D,); `num_levels`, how many values a sub-pixel
    has, is None for continuous data; `num_classes`, how many classes the labels distinguish, is None without labels.

    On several devices each step draws the noise, and takes the gradient, of one device with the whole batch: see
    `pmodel.nets.batch_share`, and `device_mean`. What a network normalizes by the statistics of a batch
    (`torch.nn.BatchNorm2d`) is normalized by those of a device's share.
    """

    # What best.ckpt follows.
    monitor: str = "val/loss"
    monitor_mode: Literal["min", "max"] = "min"
    # What progress shows besides, of the training examples.
    headline: tuple[str, ...] = ()
    # The terms that are −log p of a density of x (1), or log p or a bound on it (−1); others, such as a KL divergence,
    # do not depend on the unit of x.
    densities: ClassVar[dict[str, int]] = {"nll": 1}
    # The unit of each term, per example.
    units: ClassVar[dict[str, str]] = {}
    # What some of the terms are, in half a line each, for the table at the end of a training.
    meanings: ClassVar[dict[str, str]] = {}
    # Why the training was ended before it was as long as it was to be; a line for the user, of whoever ended it.
    stopped_early: str | None = None
    # Whether there is a model to evaluate and to draw: not before the first fit of one that has no gradient.
    fitted: bool = True
    # Of models that average their weights: validation, samples and checkpoints are then of the averages.
    ema_decay: float | None = None
    # Whether torch.compile is run on the networks when training starts.
    compile_networks: bool = False
    # Parts that keep the weights they came with, by their attributes: they stay in eval mode.
    frozen: tuple[str, ...] = ()
    # What to try when training diverges.
    advice: ClassVar[str] = "try a lower model.optimizer.lr or trainer.gradient_clip_val=1"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_arguments(cls, "model")

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

    def compiled(self) -> Iterable[nn.Module]:
        """What torch.compile is run on."""
        return self.children()

    def setup(self, stage: str) -> None:
        self.stopped_early = None
        for network in self.compiled() if stage == "fit" and self.compile_networks else ():
            network.compile()

    @property
    def num_parameters(self) -> int:
        """How many numbers training chooses."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def ending(self) -> str | None:
        """Why the training ended, or whether it has converged, where there is something to say; lines for the user."""
        return self.stopped_early

    def changing_settings(self) -> dict[str, float]:
        """What a training changes from step to step besides learning rates, by its name, as the current step has it."""
        return {}

    def concerns(self) -> dict[str, str]:
        """What seems wrong at the end of an epoch, by its kind: a line for the user each, with what to try."""
        return {}

    def remarks(self, x: Tensor) -> list[str]:
        """What it sees in itself once it is trained, asked about held-out examples x (B, …): a line each, with what to
        try."""
        return []

    @property
    def validation_name(self) -> str:
        """What is shown beside a number of the validation split."""
        return "val" if self.ema_decay is None else "val (averaged weights)"

    def train(self, mode: bool = True) -> "MeasuredModule":
        super().train(mode)
        for name in self.frozen:
            getattr(self, name).eval()
        return self

    def on_train_start(self) -> None:
        for optimizer in self.trainer.optimizers:
            _order_states_as_weights(optimizer)
        if self.global_step == 0:
            # As Lightning does where it starts several processes: the noise does not depend on their number.
            reset_seed()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.is_last_batch:
            self.log_means("train", self.train_means)

    def on_validation_epoch_start(self) -> None:
        # The same noise at each validation: epochs differ by their weights alone, and training's noise is untouched.
        # Not by `fork_rng`: of a validation that is cut, it would set the state when the model is garbage.
        on_gpu = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        self._random_states = torch.get_rng_state(), on_gpu
        torch.manual_seed(0)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        batch = self.step_batch(batch)
        with self.share_of(batch):
            self.val_means.update(self.terms(batch))

    def on_validation_epoch_end(self) -> None:
        on_cpu, on_gpu = self._random_states
        torch.set_rng_state(on_cpu)
        if on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu, self.device)
        self.log_means("val", self.val_means)

    @property
    def data(self) -> Any:
        """The data that the model is trained on; see `pmodel.training.training_data`."""
        return data_of(self.trainer)

    def step_batch(self, batch: Any) -> StepBatch:
        """What a loader gave, as steps take it: our own batches, or a plain tensor x, or a pair (x, label)."""
        return as_step_batch(batch, *self.place)

    def in_the_datas_units(self, values: dict[str, float]) -> dict[str, float]:
        """Means of named terms, of which the densities are those of the source's coordinates, not of the model's."""
        shift = self.data.log_volume
        return {name: value + self.densities.get(name, 0) * shift for name, value in values.items()}

    def sum_over_devices(self, x: Tensor) -> Tensor:
        """The sum of a tensor over all devices, each of which gets it."""
        return self.trainer.strategy.reduce(x.to(self.device, copy=True), reduce_op="sum")

    def share_of(self, batch: Any) -> AbstractContextManager[None]:
        """A context in which noise is that of the whole batch, of which this device has a share."""
        return share(batch.first, len(batch.x), batch.total)

    def device_mean(self, term: Tensor, batch: Any) -> Tensor:
        """The mean of a term (B,), weighted so that its mean over the devices is the one over all of the batch."""
        mean, whole = term.mean(), len(batch.x) * self.trainer.world_size
        return mean if batch.total in (None, whole) else mean * (whole / batch.total)

    def step_values(self, terms: dict[str, Tensor]) -> dict[str, float]:
        """The mean of each term (B,), of whatever step, over the examples of all devices, for the loggers.

        Raises:
            Diverged: if one is infinite or NaN.
        """
        if self.trainer.world_size == 1:
            values = {name: term.mean().item() for name, term in terms.items()}
        else:
            local = [[term.sum().item(), len(term)] for term in terms.values()]
            sums, counts = self.sum_over_devices(torch.tensor(local, dtype=torch.float64, device=self.device)).T
            values = dict(zip(terms, (sums / counts).tolist(), strict=True))
        self.check_values(values)
        return self.in_the_datas_units(values)

    def log_step(self, step: int, *rates: str) -> None:
        """Hands the loggers the means of `last_terms`, the `changing_settings`, and the optimizers' learning rates by
        their names, after each `trainer.log_every_n_steps` steps; `step` is counted from 0."""
        every = self.trainer.log_every_n_steps
        if every <= 0 or (step + 1) % every:
            return
        values = self.step_values(self.last_terms) | self.changing_settings()
        for name, optimizer in zip(rates, self.trainer.optimizers, strict=True):
            values[name] = optimizer.param_groups[0]["lr"]
        for logger in self.loggers:
            logger.log_metrics({f"step/{name}": value for name, value in values.items()}, step=step)

    def check_loss(self, loss: Tensor, terms: dict[str, Tensor]) -> None:
        """Ends a training before the gradient of a loss that is infinite or NaN; on a CPU.

        loss: of this step, on this device; terms: what it is made of, (B,) each

        Raises:
            Diverged: on all devices, if it is so on one.
        """
        if loss.device.type == "cpu" and (self.trainer.world_size > 1 or not math.isfinite(loss.item())):
            self.step_values(terms)

    def check_values(self, values: dict[str, float]) -> None:
        """Raises Diverged if one of named numbers, the same on every device, is infinite or NaN."""
        if broken := not_finite(values):
            raise self._diverged(broken)

    def _diverged(self, broken: dict[str, float]) -> Diverged:
        # Nothing was learnt yet that a lower learning rate would have kept: the data may be too large.
        of_data = self.data.advice if self.trainer.current_epoch == 0 else None
        return diverged(self.trainer, broken, of_data or self.advice)

    def log_means(self, split: str, means: EpochMeans) -> dict[str, float]:
        """Logs the means of an epoch's end over all devices, and begins anew."""
        values, self.counts[split] = means.compute(self.sum_over_devices)
        means.reset()
        if split == "train":
            self.check_values(values)
        self.log_epoch(split, values)
        return values

    def log_epoch(self, split: str, values: dict[str, float]) -> None:
        """Logs numbers that are means over an epoch and over all devices already."""
        # No sync_dist: the first process to read such a metric would wait for the others.
        named = {f"{split}/{name}": value for name, value in self.in_the_datas_units(values).items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["epoch_means"] = self.states_of(self.train_means)
        self._check_weights(checkpoint)

    def states_of(self, means: EpochMeans) -> list[dict[str, Any]]:
        """The state of `EpochMeans` on each device: one sum over all would be rounded otherwise in a resumed run.

        Raises:
            Diverged: if a sum is infinite or NaN; it is not for a checkpoint.
        """
        states = of_all_processes(means.state_dict())
        whole = merged(states)
        if whole["sums"] is not None:
            self.check_values(dict(zip(whole["names"], whole["sums"].tolist(), strict=True)))
        return states

    def own_state(self, states: list[dict[str, Any]]) -> dict[str, Any]:
        """This device's of the states of each one, or where they were others, the sum of all on the first one."""
        rank, world_size = self.place
        return states[rank] if len(states) == world_size else merged(states, count=int(rank == 0))

    @property
    def place(self) -> tuple[int, int]:
        """Which of how many devices this is."""
        return (0, 1) if self._trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _check_weights(self, checkpoint: dict[str, Any]) -> None:
        """Raises Diverged if a weight is infinite or NaN: a finite loss may have had an infinite gradient."""
        saved = checkpoint.get("state_dict", {})
        for name, _ in self.named_parameters():
            if name in saved and not saved[name].isfinite().all():
                raise self._diverged({f"a weight of {name}": math.nan})

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.train_means.load_state_dict(self.own_state(checkpoint["epoch_means"]))


def _order_states_as_weights(optimizer: Optimizer) -> None:
    """Keeps an optimizer's states in memory as the weights are: fused steps go through both in the order of memory.

    States restored from a checkpoint have the order that the weights had when it was written.
    """
    for weight, states in optimizer.state.items():
        for name, state in states.items():
            if isinstance(state, Tensor) and state.shape == weight.shape and state.stride() != weight.stride():
                states[name] = torch.empty_like(weight, dtype=state.dtype).copy_(state)
