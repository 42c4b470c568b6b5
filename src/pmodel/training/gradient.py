"""Training by the gradient of a loss: one optimizer, an optional schedule, optional averaged weights."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback
from torch import Tensor

from pmodel.settings.ranges import Decay
from pmodel.training.averaging import AveragedWeights
from pmodel.training.measured import MeasuredModule
from pmodel.training.schedules import LearningRates, Schedule, Scheduled


class GradientModule(MeasuredModule):
    """A model trained by `loss`, a dict of named terms per example.

    Args:
        optimizer: a dict with a `_target_` in torch.optim.
        schedule: see `Schedule`.
        ema_decay: averages the weights after each step, see `AveragedWeights`; validation, samples and checkpoints use
            the averages. None: off.
        compile: runs torch.compile on the networks when training starts.
    """

    meanings: ClassVar[dict[str, str]] = {"loss": "what training minimizes"}
    # Whether averaged weights have averaged buffers, or the current ones.
    averages_buffers: ClassVar[bool] = True

    def __init__(self, optimizer: dict, schedule: Schedule, ema_decay: Decay | None, compile: bool):
        super().__init__()
        self.optimizer_config, self.scheduled = optimizer, Scheduled(schedule)
        self.ema_decay, self.compile_networks = ema_decay, compile

    @abstractmethod
    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Named terms per example, each (B,), summed over pixels; the one named `loss` is minimized."""

    def terms(self, batch: Any) -> dict[str, Tensor]:
        return self.loss(batch)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        precision = str(self.trainer.precision)
        # Here: before Lightning converts them.
        wide = [name for name, tensor in self.named_buffers() if tensor.dtype == torch.float64]
        coarse = [name for name, part in self.named_modules() if getattr(part, "needs_float32", False)]
        if stage == "fit" and coarse and precision in ("16-true", "bf16-true"):
            part = f"model.{coarse[0].partition('.')[0]}" if coarse[0] else "the model"
            raise ValueError(
                f"trainer.precision={precision}: expected 32-true or bf16-mixed; {part} computes in float32"
            )
        if stage == "fit" and wide and precision in ("16-true", "bf16-true"):
            part = wide[0].partition(".")[0]
            raise ValueError(
                f"trainer.precision={precision}: expected 32-true or bf16-mixed, since model.{part} computes in float64"
            )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        batch = self.step_batch(batch)
        with self.share_of(batch):
            terms = self.loss(batch)
        loss = self.device_mean(terms["loss"], batch)
        self.check_loss(loss, terms)
        self.train_means.update(terms)
        # Not the terms themselves: these would keep the whole graph of the step alive.
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        self.log_step(self.global_step, "lr")
        return loss

    def configure_optimizers(self) -> Any:
        fused = not (self.trainer.gradient_clip_val and "mixed" in str(self.trainer.precision))
        return self.scheduled.with_optimizer(self.optimizer_config, self.parameters(), fused)

    def configure_callbacks(self) -> list[Callback]:
        averages = [] if self.ema_decay is None else [AveragedWeights(self.ema_decay, self.averages_buffers)]
        return [LearningRates([self.scheduled]), *averages]
