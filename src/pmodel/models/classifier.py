"""A softmax layer on an encoder: that of a finished run, frozen or fine-tuned, or one with random weights."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.data.labels import check_labels
from pmodel.models.parts import Mode, Network, build_encoder
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
    random weights: the encoder in `network`, or, with `features`, the one of that run's model. Models without
    gradients (PCA, k-means …) can be probed only.

    Args:
        data_shape: of one example, (C, H, W) or (D,).
        num_classes: how many labels there are.
        latent_dim: D of the encoder in `network`, a dict (data_shape, num_outputs); both unused with `features`.
        features: the directory of a finished run, or a checkpoint in it. None: the encoder in `network`.
        dropout: the share of z that is set to 0 at each training step.
        label_smoothing: ε: trains towards 1 − ε + ε/K for the label and ε/K for each of the other classes.
        backbone: the model of the run, which makes a checkpoint independent of it; not meant to be typed.
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
        latent_dim: Count,
        network: Network,
        features: str | None,
        mode: Mode,
        dropout: Fraction,
        label_smoothing: Fraction,
        backbone: dict | None,
        **common: Any,
    ):
        super().__init__(**common)
        if num_classes is None:
            raise ValueError("model=classifier: expected data.num_classes, the number of labels, and it is null")
        if mode != "scratch" and features is None:
            raise ValueError(f"model.mode={mode}: expected a run whose encoder to use, model.features=logs/train/…")
        self.save_hyperparameters()
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        node = backbone or (network["encoder"] if features is None else {"run": features})
        built = build_encoder(node, f"model.features={features}", data_shape, latent_dim, mode)
        self.backbone, self.hparams["backbone"], num_features = built
        self.register_buffer("feature_mean", torch.zeros(num_features))
        self.register_buffer("feature_std", torch.ones(num_features))
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(num_features, num_classes)
        self.frozen = ("backbone",) if mode == "probe" else ()
        self.train()  # building left the backbone in eval mode

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        for split in ("train", "validation"):
            check_labels(split, self.data.examples(split, NUM_EXAMPLES).label, self.num_classes)
        # A resumed run's own μ and σ come after this.
        self.standardize(self.data.examples("train", NUM_EXAMPLES).x)
        if self.compile_networks:
            # Not the backbone itself, whose forward nobody calls.
            for network in (*self.backbone.children(), self.head):
                network.compile()

    @torch.no_grad()
    def standardize(self, x: Tensor) -> None:
        """Takes μ and σ of the features from examples x."""
        z = torch.cat([self.backbone.encode(part.to(self.device)) for part in x.split(1000)])
        for kept, value in zip((self.feature_mean, self.feature_std), mean_and_scale(z), strict=True):
            kept.copy_(value)

    def _standardized(self, x: Tensor) -> Tensor:
        """z, (B, D), float32 or wider."""
        z = self.backbone.encode(x) if self.frozen else self.backbone.features(x)
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
