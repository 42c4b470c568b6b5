"""Training by the gradient of a loss: one optimizer, an optional schedule, optional averaged weights."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal, TypedDict

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor

from pmodel.instantiate import instantiate
from pmodel.training.epoch_means import EpochMeans


class Schedule(TypedDict):
    """A learning-rate schedule: the scheduler's dict, and what one of its steps is."""

    scheduler: dict
    interval: Literal["epoch", "step"]


class GradientModule(LightningModule):
    """A model trained by `loss`, a dict of named terms per example.

    Args:
        optimizer: a dict with a `_target_` in torch.optim.
        schedule: see `Schedule`.
        ema_decay: averages the weights as w̄ ← decay · w̄ + (1 − decay) · w after each step; validation, samples and
            checkpoints use the averages (Polyak & Juditsky, 1992). None: off.
        compile: runs torch.compile on the networks when training starts.
    """

    # What best.ckpt follows.
    monitor: str = "val/loss"
    monitor_mode: Literal["min", "max"] = "min"
    # The unit of each term of `loss`, per example.
    units: ClassVar[dict[str, str]] = {}

    def __init__(self, optimizer: dict, schedule: Schedule, ema_decay: float | None, compile: bool):
        super().__init__()
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise ValueError(f"model.ema_decay={ema_decay}: expected a number between 0 and 1, or null")
        self.optimizer_config, self.schedule_config = optimizer, schedule
        self.ema_decay = ema_decay
        self.compile_networks = compile
        self.train_means, self.val_means = EpochMeans(), EpochMeans()
        # How many examples the means of the last epoch are of, by split.
        self.counts: dict[str, int] = {}
        # The last step's terms (B,), on the device: read by whoever wants to show them, at no cost to who doesn't.
        self.last_terms: dict[str, Tensor] = {}

    @abstractmethod
    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Named terms per example, each (B,), summed over pixels; the one named `loss` is minimized."""

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.compile_networks:
            for network in self.children():
                network.compile()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        terms = self.loss(batch)
        self.train_means.update(terms)
        # Not the terms themselves: these would keep the whole graph of the step alive.
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        every = self.trainer.log_every_n_steps
        if every > 0 and (self.global_step + 1) % every == 0:
            values = {f"step/{name}": term.mean().item() for name, term in terms.items()}
            values["step/lr"] = self.trainer.optimizers[0].param_groups[0]["lr"]
            for logger in self.loggers:
                logger.log_metrics(values, step=self.global_step)
        return terms["loss"].mean()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.is_last_batch:
            self._log_means("train", self.train_means)

    def on_validation_epoch_start(self) -> None:
        # The same noise at each validation: epochs differ by their weights alone, and training's noise is untouched.
        self._training_rng = torch.get_rng_state(), _cuda_rng_state(self.device)
        torch.manual_seed(0)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.val_means.update(self.loss(batch))

    def on_validation_epoch_end(self) -> None:
        cpu_state, cuda_state = self._training_rng
        torch.set_rng_state(cpu_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state, self.device)
        self._log_means("val", self.val_means)

    def _log_means(self, split: str, means: EpochMeans) -> None:
        values, self.counts[split] = means.compute(lambda sums: self.trainer.strategy.reduce(sums, reduce_op="sum"))
        means.reset()
        self.log_dict({f"{split}/{k}": v for k, v in values.items()}, on_step=False, on_epoch=True, batch_size=1)

    def configure_optimizers(self) -> Any:
        config = dict(self.optimizer_config)
        if self.trainer.gradient_clip_val and "mixed" in str(self.trainer.precision):
            # A fused optimizer takes the loss scale off the gradients itself, too late for clipping to see them.
            config |= {"fused": False} if "fused" in config else {}
        optimizer = instantiate(config, self.parameters())
        scheduler = instantiate(self.schedule_config["scheduler"], optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": self.schedule_config["interval"]},
        }

    def configure_callbacks(self) -> list[Callback]:
        return [] if self.ema_decay is None else [EMAWeightAveraging(decay=self.ema_decay)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["epoch_means"] = self.train_means.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.train_means.load_state_dict(checkpoint["epoch_means"])


def _cuda_rng_state(device: torch.device) -> Tensor | None:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None
