"""A softmax layer on an encoder: that of a finished run, frozen or fine-tuned, or one with random weights."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.data.labels import check_labels
from pmodel.models.parts import Mode, build_encoder, is_model
from pmodel.nets.dropout import Dropout
from pmodel.nets.precision import in_own_dtype, upcast
from pmodel.nets.standardized import mean_and_scale
from pmodel.settings.ranges import Count, Counts, Fraction, Two
from pmodel.training.gradient import GradientModule

# Training examples that the scale of the features is taken from.
NUM_EXAMPLES = 5000


class Classifier(GradientModule):
    """p(label | x) = softmax(W z + b) with z = (f(x) − μ) / σ; minimizes −log p(label | x), in nats.

    f is an encoder. μ and σ are the mean and the standard deviation of each of its D outputs over training examples,
    taken once, before the first step, so that an optimizer finds the outputs of any encoder on one scale; σ is at
    least 0.3 of its root mean square over the outputs, since what hardly varies is mostly noise.

    `probe` keeps f as the run left it, and trains W and b alone; `fine_tune` trains f too; `scratch` trains f from
    random weights: the given encoder, or the one of the run's model. Models without gradients (PCA, k-means …) can be
    probed only.

    Args:
        encoder: f; see `pmodel.models.parts.build_part`.
        latent_dim: D; unused with the encoder of a run.
        dropout: the share of z that is set to 0 at each training step.
        label_smoothing: ε: trains towards 1 − ε + ε/K for the label and ε/K for each of the other classes.
    """

    # μ and σ are set once, after averaging has begun.
    averages_buffers = False
    monitor = "val/accuracy"
    monitor_mode = "max"
    units: ClassVar[dict[str, str]] = {"loss": "nats", "accuracy": "of 1"}

    def __init__(
        self,
        data_shape: Counts,
        num_classes: Two | None,
        encoder: dict,
        latent_dim: Count,
        mode: Mode,
        dropout: Fraction,
        label_smoothing: Fraction,
        **common: Any,
    ):
        super().__init__(**common)
        if num_classes is None:
            raise ValueError("model=classifier: expected data.num_classes, the number of labels, and it is null")
        if mode != "scratch" and "run" not in encoder and not is_model(encoder):
            typed = "model/encoder=run model.encoder.run=logs/train/…"
            raise ValueError(f"model.mode={mode}: expected a run whose encoder to use, {typed}")
        self.save_hyperparameters()
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.encoder, self.hparams["encoder"], num_features = build_encoder(encoder, data_shape, latent_dim, mode)
        self.register_buffer("feature_mean", torch.zeros(num_features))
        self.register_buffer("feature_std", torch.ones(num_features))
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(num_features, num_classes)
        self.frozen = ("encoder",) if mode == "probe" else ()
        self.train()  # building left the encoder in eval mode

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage != "fit":
            return
        for split in ("train", "validation"):
            check_labels(split, self.data.examples(split, NUM_EXAMPLES).label, self.num_classes)
        # A resumed run's own μ and σ come after this.
        self.standardize(self.data.examples("train", NUM_EXAMPLES).x)

    def compiled(self) -> Iterable[nn.Module]:
        return (*self.encoder.children(), self.head)  # nobody calls the encoder's own forward

    @torch.no_grad()
    def standardize(self, x: Tensor) -> None:
        """Takes μ and σ of the features from examples x."""
        z = torch.cat([self.encoder.encode(part.to(self.device)) for part in x.split(1000)])
        for kept, value in zip((self.feature_mean, self.feature_std), mean_and_scale(z), strict=True):
            kept.copy_(value)

    def _standardized(self, x: Tensor) -> Tensor:
        """z, (B, D), float32 or wider."""
        z = self.encoder.encode(x) if self.frozen else self.encoder.features(x)
        return (upcast(z) - self.feature_mean) / self.feature_std

    def _logits(self, z: Tensor) -> Tensor:
        return upcast(in_own_dtype(self.head, z))

    def loss(self, batch: Any) -> dict[str, Tensor]:
        logits = self._logits(self.dropout(self._standardized(batch.x)))
        smoothing = self.label_smoothing if self.training else 0.0
        loss = F.cross_entropy(logits, batch.label, reduction="none", label_smoothing=smoothing)
        return {"loss": loss, "accuracy": (logits.argmax(1) == batch.label).to(loss.dtype)}

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """z, the standardized features, (B, D)."""
        return self._standardized(x)

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """p(label | x), (B, number of classes)."""
        return self._logits(self._standardized(x)).softmax(1)
