"""Learning rates over a training whose length is known, is changed by a resume, or is measured on the way."""

import logging
import math
import time
import warnings
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypedDict

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from pmodel.instantiate import instantiate
from pmodel.processes.launch import is_first

log = logging.getLogger("pmodel")

# Stands for the length of a training while it is not known: the rate is that of a training's beginning.
UNKNOWN = 2**40


class Schedule(TypedDict):
    """A learning-rate schedule.

    scheduler: a dict with a `_target_` in torch.optim.lr_scheduler
    interval: what one of its steps is, an optimizer's step or an epoch
    length: the scheduler's argument that is the training's length, in intervals; None where it has none
    """

    scheduler: dict
    interval: Literal["epoch", "step"]
    length: str | None


class Scheduled(NamedTuple):
    """An optimizer's schedule, and how many steps of the training (`global_step`) make one of the optimizer's."""

    schedule: Schedule
    steps_per_step: int = 1
    # As the user types it.
    key: str = "model.schedule"

    @property
    def has_length(self) -> bool:
        """Whether the training's length decides its rates; an argument that is typed comes first."""
        return self.schedule["length"] is not None and self.schedule["length"] not in self.schedule["scheduler"]

    def scheduler(self, optimizer: Optimizer, steps: int = UNKNOWN, steps_per_epoch: int = 1) -> LRScheduler:
        """The scheduler at its beginning, for a training of so many steps.

        Raises:
            ValueError: of one line, if `length` names none of the scheduler's arguments.
        """
        node, length = self.schedule["scheduler"], self.schedule["length"]
        if not self.has_length:
            return instantiate(node, optimizer)
        per_interval = self.steps_per_step if self.schedule["interval"] == "step" else steps_per_epoch
        try:
            return instantiate(node, optimizer, **{length: max(1, math.ceil(steps / per_interval))})
        except TypeError as error:
            if f"unexpected keyword argument '{length}'" not in str(error):
                raise
            raise ValueError(f"{self.key}.length={length}: {node['_target_']} has no such argument") from None

    def with_optimizer(self, config: dict, parameters: Iterable[nn.Parameter], fused: bool) -> dict[str, Any]:
        """The optimizer of a config and its schedule, as Lightning takes them.

        fused: whether it may be fused: it then takes the loss scale off the gradients itself, too late for what looks
            at these before a step
        """
        optimizer = instantiate(config if fused or "fused" not in config else {**config, "fused": False}, parameters)
        schedule = {"scheduler": self.scheduler(optimizer), "interval": self.schedule["interval"]}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def scheduler_at(self, count: int, optimizer: Optimizer, steps: int, steps_per_epoch: int) -> LRScheduler:
        """The same after `count` of its steps; the optimizer's rates are then those of a training of that length."""
        for group in optimizer.param_groups:
            group.update(optimizer.defaults)
            group.pop("initial_lr", None)
        scheduler = self.scheduler(optimizer, steps, steps_per_epoch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no step of the optimizer came before
            for _ in range(count):
                scheduler.step()
        return scheduler


class LearningRates(Callback):
    """Fits schedules to the training's length, in steps.

    That is the smaller one of `max_epochs` and `max_steps`. With `max_time` the first steps are measured, for a
    twentieth of the time or a little more; the steps that fit into `MARGIN` of the rest are the length from then on,
    and the training ends after them. The length is part of a checkpoint. Where a resumed training has another one, its
    rate is that which a training of this length would have had at this step.

    scheduled: of each optimizer, in their order
    """

    FIRST_LOOK = 4  # steps, and then after twice as many, and so on: all processes look at the same time
    SHARE_MEASURED = 0.05
    MARGIN = 0.95  # of the time that is left when it is measured: validation and figures may take longer later on

    def __init__(self, scheduled: list[Scheduled]):
        self.scheduled = scheduled
        self.steps: int | None = None  # the length that the schedules have
        self.measured: int | None = None  # the length that `max_time` allows
        self.seconds: float | None = None  # `max_time`
        self._resumed = False
        self._began: tuple[int, float] | None = None  # when measuring began: after which step, and at what time

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "measured": self.measured, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps, self.measured = state_dict["steps"], state_dict["measured"]
        self.seconds, self._resumed = state_dict["seconds"], True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not any(scheduled.has_length for scheduled in self.scheduled):
            return
        seconds = _seconds_allowed(trainer)
        if seconds != self.seconds:
            self.seconds, self.measured = seconds, None
        before, self._began = self.steps, None
        self._fit(trainer)
        if self._resumed and self.steps != before:
            self._say(trainer, f"the schedule is stretched from {_steps(before)} to {_steps(self.steps)}")
        self._resumed = False
        self._stop_at_end(trainer)

    def _fit(self, trainer: Trainer) -> None:
        """Gives the schedules the length that is known by now, if it is another one than they have."""
        batches = trainer.num_training_batches
        per_epoch = math.ceil(batches / trainer.accumulate_grad_batches) if math.isfinite(batches) else UNKNOWN
        limits = [] if self.measured is None else [self.measured]
        if trainer.max_steps >= 0:
            limits.append(trainer.max_steps)
        if trainer.max_epochs is not None and trainer.max_epochs >= 0:
            limits.append(per_epoch * trainer.max_epochs)
        if not limits and self.seconds is None:
            raise ValueError(
                f"{self.scheduled[0].key} needs a training with an end: set trainer.max_epochs, trainer.max_steps or"
                " trainer.max_time, or choose model/schedule=constant"
            )
        steps = min(limits, default=None)
        if steps == self.steps and self._resumed:
            return
        self.steps = steps
        for scheduled, config in zip(self.scheduled, trainer.lr_scheduler_configs, strict=True):
            if scheduled.has_length:
                scheduler, length = config.scheduler, UNKNOWN if steps is None else steps
                config.scheduler = scheduled.scheduler_at(scheduler.last_epoch, scheduler.optimizer, length, per_epoch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.seconds is None or not any(scheduled.has_length for scheduled in self.scheduled):
            return
        if self.measured is None:
            self._measure(trainer)
        self._stop_at_end(trainer)

    def _measure(self, trainer: Trainer) -> None:
        step, now = trainer.global_step, time.monotonic()
        if self._began is None:
            self._began = step, now  # the first step, which may compile and allocate, is not measured
            return
        count = step - self._began[0]
        if count < self.FIRST_LOOK or count & (count - 1):
            return
        timer = _timer(trainer)
        # The first process's clock is everyone's.
        taken, left = trainer.strategy.broadcast((now - self._began[1], timer.time_remaining()))
        if taken < self.SHARE_MEASURED * self.seconds:
            return
        self.measured = step + max(0, math.floor(self.MARGIN * left * count / taken))
        before = self.steps
        self._fit(trainer)
        if self.steps != before:
            each = f"{1000 * taken / count:.3g} ms each"
            self._say(trainer, f"trainer.max_time allows {_steps(self.steps)} ({each}): the schedule ends with them")

    def _stop_at_end(self, trainer: Trainer) -> None:
        if self.measured is not None and trainer.global_step >= self.measured:
            trainer.should_stop = True

    @staticmethod
    def _say(trainer: Trainer, line: str) -> None:
        log.info("learning rate: %s", line)
        if is_first():
            tqdm.write(f"learning rate: {line}")  # above a progress bar


def _timer(trainer: Trainer) -> Timer | None:
    """Lightning's own callback for `max_time`."""
    return next((callback for callback in trainer.callbacks if isinstance(callback, Timer)), None)


def _seconds_allowed(trainer: Trainer) -> float | None:
    """`max_time` in seconds; None without one."""
    timer = _timer(trainer)
    left = None if timer is None else timer.time_remaining()
    return None if left is None else round(left + timer.time_elapsed(), 1)


def _steps(count: int | None) -> str:
    return "an unknown length" if count is None else f"{count:,} steps"
