"""A softmax layer on an encoder: that of a finished run, frozen or fine-tuned, or one with random weights."""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.capabilities import Encodes, TrainableFeatures
from pmodel.instantiate import check_target, instantiate
from pmodel.models.autoencoder import Network
from pmodel.nets.dropout import Dropout
from pmodel.nets.precision import in_own_dtype, upcast
from pmodel.runs.saved import find_run, read_checkpoint, read_config
from pmodel.settings.ranges import Count, Counts, Fraction, Two
from pmodel.training.gradient import GradientModule

Mode = Literal["scratch", "probe", "fine_tune"]
# Training examples that the scale of the features is taken from.
NUM_EXAMPLES = 5000
# Of the features' root mean square deviation: none is scaled up more than if it had this share of it. Of the 50 codes
# that a VAE has of MNIST, many hardly vary: with 0.1, a probe of 100 labels loses 3 points, fine-tuning gains 0.5.
SMALLEST_SHARE = 0.3


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
        features: the directory of a finished run, or a checkpoint in it. None: the encoder in `network`.
        mode: what is trained, see above.
        latent_dim: D of the encoder in `network`; unused with `features`.
        network: a dict of an encoder (data_shape, num_outputs); unused with `features`.
        dropout: the share of z that is set to 0 at each training step.
        label_smoothing: ε: trains towards 1 − ε + ε/K for the label and ε/K for each of the other classes.
        backbone: the model of the run as a dict with a `_target_`, which makes a checkpoint independent of that run:
            read from `features`, not meant to be typed.
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
        weights = None
        if features is not None and backbone is None:
            backbone, weights = read_run(features)
        self.save_hyperparameters()
        self.hparams["backbone"] = backbone
        self.mode, self.num_classes, self.label_smoothing = mode, num_classes, label_smoothing
        self.data_shape = torch.Size(data_shape)
        self.backbone: nn.Module = (
            Encoder(instantiate(network["encoder"], data_shape=data_shape, num_outputs=latent_dim))
            if backbone is None
            else instantiate(backbone)
        )
        self._check_backbone(f"model.features={features}")
        if weights is not None and mode != "scratch":
            self.backbone.load_state_dict(weights)
        num_features = self._freeze()
        self.register_buffer("feature_mean", torch.zeros(num_features))
        self.register_buffer("feature_std", torch.ones(num_features))
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(num_features, num_classes)
        self.train()  # building left the backbone in eval mode

    def _check_backbone(self, place: str) -> None:
        """Refuses a model that has no features, or none of these data, or none to train."""
        name, shape = type(self.backbone).__name__, getattr(self.backbone, "data_shape", self.data_shape)
        if not isinstance(self.backbone, Encodes):
            raise ValueError(f"{place}: expected a model that can encode, and {name} can't")
        if tuple(shape) != tuple(self.data_shape):
            raise ValueError(
                f"{place}: expected data.shape={list(shape)}, on which it was trained, not {list(self.data_shape)}"
            )
        if self.mode != "probe" and not isinstance(self.backbone, TrainableFeatures):
            raise ValueError(f"model.mode={self.mode}: expected probe, since {name} has no gradients ({place})")

    def _freeze(self) -> int:
        """Turns gradients off for what they are not asked of, or do not reach, such as a decoder; gives D."""
        example = torch.zeros(2, *self.data_shape)
        self.backbone.eval()
        if not isinstance(self.backbone, TrainableFeatures):
            self.backbone.requires_grad_(False)
            return self.backbone.encode(example).shape[1]
        with torch.enable_grad():
            z = self.backbone.features(example)
        parameters = list(self.backbone.parameters())
        gradients = torch.autograd.grad(z.sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_(self.mode != "probe" and gradient is not None)
        return z.shape[1]

    def train(self, mode: bool = True) -> "Classifier":
        """As always, but that a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.mode == "probe":
            self.backbone.eval()
        return self

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        # A resumed run's own μ and σ come after this.
        data = self.trainer.datamodule
        x, label = data.examples("train", NUM_EXAMPLES)
        self._check_labels("training", label)
        self._check_labels("validation", data.examples("validation", NUM_EXAMPLES).label)
        self.standardize(x)
        if self.compile_networks:
            # Not the backbone itself, whose forward nobody calls.
            for network in (*self.backbone.children(), self.head):
                network.compile()

    def _check_labels(self, split: str, label: Tensor) -> None:
        if (label < 0).any():
            some = f"{int((label >= 0).sum()):,} of {len(label):,} {split} examples have one"
            raise ValueError(
                f"model=classifier: expected a label of each example, and {some}: label the others, or take them out"
            )
        if (label >= self.num_classes).any():
            raise ValueError(
                f"model.num_classes={self.num_classes}: expected more, since there is a {split} example of class"
                f" {int(label.max())}, counted from 0"
            )

    @torch.no_grad()
    def standardize(self, x: Tensor) -> None:
        """Takes μ and σ of the features from examples x."""
        z = torch.cat([self.backbone.encode(part.to(self.device)) for part in x.split(1000)]).double()
        std = z.std(0, correction=0)
        floor = SMALLEST_SHARE * std.square().mean().sqrt()
        self.feature_mean.copy_(z.mean(0))
        # Where all outputs are constant, there is nothing to scale.
        self.feature_std.copy_(std.clamp_min(floor) if floor > 0 else torch.ones_like(std))

    def _standardized(self, x: Tensor) -> Tensor:
        """z, (B, D), float32 or wider."""
        if self.mode == "probe":
            with torch.no_grad():
                z = self.backbone.encode(x)
        else:
            z = self.backbone.features(x)
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


class Encoder(nn.Module):
    """A network as a model whose features are its outputs."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def features(self, x: Tensor) -> Tensor:
        """The outputs (B, D), with their gradients."""
        return upcast(in_own_dtype(self.network, x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The outputs (B, D)."""
        return self.features(x)


def read_run(features: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The model of a run as a dict with a `_target_`, and its weights: of best.ckpt, or last.ckpt if there is no best.

    features: a run directory, or a checkpoint in the checkpoints/ of one.

    Raises:
        ValueError: of one line, if there is no such run, or its files are not whole.
    """
    place = f"model.features={features}"
    run = find_run(features, place)
    target = read_config(run.folder, place, ("model",))["model"]["_target_"]
    content = read_checkpoint(run.checkpoint, place)
    check_target(target, ("pmodel.models.",))
    return {**content["hyper_parameters"], "_target_": target}, content["state_dict"]
