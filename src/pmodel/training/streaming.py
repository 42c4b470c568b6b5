"""Training by sufficient statistics: sums over an epoch, then new parameters; no gradient and no optimizer."""

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from pmodel.processes.group import of_all_processes
from pmodel.settings.ranges import Count, NonNegative
from pmodel.training.epoch_means import merged
from pmodel.training.measured import MeasuredModule

# What statistics are taken of at once: 64 MiB of float64; and so many bytes that their sums are below 2^24.
MAX_NUMBERS, MAX_EXAMPLES = 2**23, 2**16


class Refit(NamedTuple):
    """What new parameters brought.

    change: how far they are from the old ones, in the unit of `model.tolerance`; 0 where nothing is left to improve
    train: named means over the training examples, logged under train/
    """

    change: float
    train: dict[str, float]


class StreamingModule(MeasuredModule):
    """A model trained by sums over the examples of an epoch, in float64, added up over batches and devices.

    Each epoch is one `refit`; training stops after one whose change is at most `tolerance`. Results depend neither on
    the batch size nor on the order of the examples nor on the number of devices, but for float64's rounding, which may
    decide ties. All parameters are float64 buffers.

    Args:
        tolerance: the change at which training stops; each model says what it measures.
        init_size: how many training examples, drawn at random, `initialize` sees.
    """

    advice = "look for values in the data that are infinite or NaN"
    # Whether `statistics` takes images on levels as bytes, without their scaling to [0, 1].
    reads_levels: bool = False
    num_levels: int | None = None

    def __init__(self, tolerance: NonNegative, init_size: Count):
        super().__init__()
        self.tolerance, self.init_size = tolerance, init_size
        self.register_buffer("initialized", torch.tensor(False))
        # Of everything that is drawn at a start; drawn itself when training begins.
        self.register_buffer("start_seed", torch.tensor(0))
        self.register_buffer("num_refits", torch.tensor(0))
        self.register_buffer("last_change", torch.tensor(math.inf, dtype=torch.float64))
        # The sums of the epoch so far, by name.
        self.totals: dict[str, Tensor] = {}

    @property
    def fitted(self) -> bool:
        return bool(self.num_refits > 0)

    @property
    def ending(self) -> str | None:
        if not self.fitted:
            return "not fitted: no epoch was finished; a larger trainer.max_steps or trainer.max_epochs goes on"
        change = self.last_change.item()
        if self.stopped_early and change > self.tolerance:
            return self.stopped_early
        # A first fit has nothing to compare with, and one that is exact nothing to say.
        if not math.isfinite(change) or self.tolerance == 0:
            return None
        if change <= self.tolerance:
            return f"converged: the last change, {change:.3g}, is within model.tolerance={self.tolerance}"
        return (
            f"not converged: the last change, {change:.3g}, is above model.tolerance={self.tolerance};"
            " a larger trainer.max_epochs goes on"
        )

    @abstractmethod
    def initialize(self, x: Tensor, generator: Generator) -> None:
        """Sets a start from examples x (init_size or fewer, …), the same on every device."""

    @abstractmethod
    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        """Sums over a batch of examples x (B, …), in float64; what they are may depend on the parameters.

        With `reads_levels`, images that lie on levels come as these: uint8, 0 … num_levels − 1.
        """

    @abstractmethod
    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        """New parameters from the sums over all `count` training examples."""

    def numbers_held(self, num_dims: int) -> int:
        """How many numbers the largest tensor of `statistics` has per example."""
        return num_dims

    def on_fit_start(self) -> None:
        precision = str(self.trainer.precision)
        if precision not in ("32-true", "64-true"):
            raise ValueError(f"trainer.precision={precision}: expected 32-true; this model sums in float64 anyway")
        if self.device.type == "mps":
            raise ValueError("trainer.accelerator=mps: expected cpu or gpu; this model needs float64")

    def on_train_start(self) -> None:
        super().on_train_start()
        self.totals = {name: value.to(self.device) for name, value in self.totals.items()}
        if not self.initialized:
            self.start_seed.copy_(self.trainer.strategy.broadcast(torch.randint(2**62, ())))
            self.initialize(self.start_examples(), self.start_generator())
            self.initialized.fill_(True)
        if self.fitted and not self.totals and self.last_change <= self.tolerance:
            # Resumed after the epoch that ended it: another one would change it once more.
            self.trainer.should_stop = True

    def start_examples(self) -> Tensor:
        """`init_size` training examples, drawn without replacement by `start_seed`: the same on every device."""
        return self.data.examples("train", self.init_size, seed=int(self.start_seed)).x.to(self.device)

    def start_generator(self) -> Generator:
        """A generator seeded with `start_seed`."""
        return Generator().manual_seed(int(self.start_seed))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        batch = self.step_batch(batch)
        with torch.no_grad():
            x = batch.x
            if self.reads_levels and batch.levels is not None:
                x, self.num_levels = batch.levels
            for part in x.split(min(MAX_EXAMPLES, max(1, MAX_NUMBERS // self.numbers_held(x[0].numel())))):
                sums = self.statistics(part)
                sums["count"] = torch.tensor(len(part), dtype=torch.float64, device=x.device)
                if self.totals:
                    for name, value in sums.items():
                        self.totals[name] += value
                else:
                    self.totals = sums
        # On several devices Lightning takes no step without a loss; this one has nothing to change.
        return torch.zeros((), requires_grad=True)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        # Not at the epoch's end: validation comes before that, and would score the old parameters.
        if not self.trainer.is_last_batch:
            return
        totals = {name: self.sum_over_devices(value) for name, value in self.totals.items()}
        self.totals = {}
        self.counts["train"] = int(totals.pop("count"))
        self.check_totals(totals)
        with torch.no_grad():
            change, train = self.refit(totals, self.counts["train"])
        # The first change has no bound: it is from no parameters at all.
        self.check_values(train if math.isinf(change) else {**train, "change": change})
        self.last_change.fill_(change)
        self.num_refits += 1
        # A first fit has nothing to compare with.
        self.log_epoch("train", train | ({"change": change} if self.tolerance > 0 and math.isfinite(change) else {}))
        if change <= self.tolerance:
            self.trainer.should_stop = True

    def check_totals(self, totals: dict[str, Tensor]) -> None:
        """Raises Diverged if one of the sums over all devices has an infinite number or NaN."""
        self.check_values({f"the sum of {name}": value.abs().max().item() for name, value in totals.items()})

    def configure_optimizers(self) -> None:
        return None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["totals"] = of_all_processes({name: value.cpu() for name, value in self.totals.items()})
        self.check_totals(merged(checkpoint["totals"]))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.totals = self.own_state(checkpoint["totals"])
