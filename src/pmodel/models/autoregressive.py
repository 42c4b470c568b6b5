"""What all autoregressive models share: exact likelihoods, and samples pixel by pixel."""

import math
from inspect import signature
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pmodel.distributions import make_likelihood
from pmodel.distributions.noise import gumbel
from pmodel.models.raster_order import draw_in_raster_order
from pmodel.nets.autoregressive import AutoregressiveNetwork
from pmodel.processes.bar import Bar
from pmodel.settings.ranges import Counts, Two
from pmodel.training.gradient import GradientModule


class AutoregressiveModule(GradientModule):
    """p(x) = Π_i p(x_i | x_<i) over the sub-pixels of an image: rows from the top, each from left to right, in a pixel
    red, green, blue (van den Oord et al., Pixel Recurrent Neural Networks, 2016, arXiv 1601.06759).

    Minimizes −log p(x), nats per image. A subclass has `network`, which gives the parameters of all conditionals.
    With `class_conditional`, the model is p(x | label), trained with the labels, and p(x) the mean of it over all
    labels, each as probable as any other.

    Args:
        class_conditional: whether the network is told the label.

    Raises:
        ValueError: for data that are no images on levels, or have no labels where these are asked for.
    """

    units: ClassVar[dict[str, str]] = {"loss": "nats"}
    # Images drawn at once.
    sample_batch: int = 256
    network: AutoregressiveNetwork

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        num_classes: Two | None,
        class_conditional: bool,
        **common: Any,
    ):
        super().__init__(**common)
        check_images_on_levels(data_shape, num_levels)
        if class_conditional and num_classes is None:
            raise ValueError(
                "model.class_conditional=true: expected data.num_classes, the number of labels, and it is null"
            )
        self.data_shape, self.num_channels = torch.Size(data_shape), data_shape[0]
        self.likelihood = make_likelihood("bernoulli" if num_levels == 2 else "categorical", num_levels)
        self.num_classes = num_classes if class_conditional else None
        # E of what the network is told besides the image.
        self.condition_channels = self.num_classes or 0

    def build(self, network: type[AutoregressiveNetwork], **settings: Any) -> Any:
        """A network with the model's settings, by their names, if it takes them, and others.

        Raises:
            ValueError: if a kernel size is even, or there are fewer masked features than channels of the image.
        """
        for name, value in self.hparams.items():
            if name.endswith("kernel_size") and value % 2 == 0:
                raise ValueError(f"model.{name}={value}: expected an odd number, at least 1")
            masked = name in ("hidden_channels", "head_channels") and not network.whole_pixels
            if masked and value < self.num_channels:
                raise ValueError(
                    f"model.{name}={value}: expected at least {self.num_channels}, one for each channel of"
                    f" data.shape={list(self.data_shape)}"
                )
        sizes = {"num_channels": self.num_channels, "num_outputs": self.likelihood.num_parameters(self.num_channels)}
        own = {name: self.hparams[name] for name in signature(network).parameters if name in self.hparams}
        return network(**{**sizes, "condition_channels": self.condition_channels, **own, **settings})

    def drawing_order(self) -> Tensor:
        """The pixels i·W + j in the order in which they are drawn, (H·W,)."""
        return torch.arange(self.data_shape[1:].numel())

    def _condition(self, label: Tensor | None) -> Tensor | None:
        """What the network is told: the label (B,) as (B, E, 1, 1)."""
        if self.num_classes is None:
            return None
        if label is None or (label < 0).any():
            missing = "there are none" if label is None else f"{int((label < 0).sum())} of {len(label)} have none"
            raise ValueError(f"model.class_conditional=true: expected a label of each image, and {missing}")
        label = label.to(self.device, torch.int64)
        return F.one_hot(label, self.num_classes)[:, :, None, None].to(next(self.parameters()).dtype)

    def _parameters_of(self, x: Tensor, label: Tensor | None) -> Tensor:
        """The parameters (B, P, H, W) of the conditional distributions of images x."""
        x = (2 * x - 1).to(next(self.parameters()).dtype)
        return self.network(x, self._condition(label))

    def loss(self, batch: Any) -> dict[str, Tensor]:
        return {"loss": -self.likelihood.log_prob(self._parameters_of(batch.x, batch.label), batch.x)}

    @torch.no_grad()
    def log_prob_per_pixel(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """log p of each pixel given the earlier ones, nats, summed over its channels, (B, H, W).

        Their sum is `log_prob`. Of a class-conditional model without labels (B,): the mean over the labels, each
        weighted by its probability given the pixels before.
        """
        if self.num_classes is None or label is not None:
            return self.likelihood.log_prob_per_position(self._parameters_of(x, label), x)
        labels = torch.arange(self.num_classes, device=x.device)
        each = torch.stack([self.log_prob_per_pixel(x, label.expand(len(x))) for label in labels])
        # log Σ_y p(y) Π_{i ≤ n} p(x_i | x_<i, y) for every n; its differences are the conditionals.
        # In float64: they are small differences of large numbers.
        order = self.drawing_order().to(x.device)
        joint = each.double().flatten(2)[:, :, order].cumsum(2).logsumexp(0) - math.log(self.num_classes)
        conditionals = torch.empty_like(joint)
        conditionals[:, order] = joint.diff(dim=1, prepend=torch.zeros_like(joint[:, :1]))
        return conditionals.view_as(each[0]).to(each.dtype)

    def log_prob(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """log p(x), exact, nats, (B,); with labels (B,), of a class-conditional model, log p(x | label)."""
        return self.log_prob_per_pixel(x, label).flatten(1).sum(1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n images, `sample_batch` at once, each pixel at the price of a pixel.

        Of a class-conditional model each has a label of its own, drawn with the same probability for all.
        """
        return self._drawn(n, generator)

    def sample_classes(self, label: Tensor, *, generator: Generator | None = None) -> Tensor:
        """An image x ~ p(x | label) for each label (n,) int64, of a class-conditional model.

        Raises:
            ValueError: if the model is not.
        """
        if self.num_classes is None:
            raise ValueError("model.class_conditional=false: the model was trained without labels, and has no classes")
        return self._drawn(len(label), generator, label.to(self.device))

    def _drawn(self, n: int, generator: Generator | None, label: Tensor | None = None) -> Tensor:
        x = torch.zeros(n, *self.data_shape, device=self.device)
        return self.complete(x, torch.zeros(()).bool(), generator=generator, label=label)

    @torch.no_grad()
    def complete(
        self, x: Tensor, known: Tensor, *, generator: Generator | None = None, label: Tensor | None = None
    ) -> Tensor:
        """x with new values where the boolean mask `known` (like x, or broadcast to it) is False.

        Each is drawn given all that comes before it in `drawing_order`, known or drawn; what is known further on has no
        influence, nor, where a network has no masks for the channels (PixelCNN++), what is known of other channels of
        its pixel. So draws are of p(hidden | known) only where all known pixels come before all hidden ones.

        Labels (B,) of a class-conditional model that are not given are drawn first, once for each image, given what
        is known before its first hidden pixel f: the hidden pixels h together have the probability
        Σ_y p(y | x_<f) Π_{i in h} p(x_i | x_<i, y).
        """
        known = known.to(x.device).expand_as(x)
        # Whatever stands there has no influence, not even if it is no number.
        x = torch.where(known, x, 0)
        if self.num_classes is not None and label is None:
            label = self.draw_labels(x, known, generator)
        parts = [slice(start, start + self.sample_batch) for start in range(0, len(x), self.sample_batch)]
        # No autocast: what is written in place keeps its precision.
        with (
            Bar(len(parts) * x.shape[2], "drawing pixel by pixel") as bar,
            torch.autocast(x.device.type, enabled=False),
        ):
            for part in parts:
                of_part = None if label is None else label[part]
                x[part] = self._fill(x[part], known[part], of_part, generator, bar)
        return x

    def draw_labels(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        """Labels (B,) of a class-conditional model, drawn given all that is known before the first hidden pixel.

        Pixels come in `drawing_order`; one is hidden if one of its channels is.
        """
        order = self.drawing_order().to(x.device)
        before = known.all(dim=1).flatten(1)[:, order].cumprod(1)
        log_p = x.new_zeros(len(x), self.num_classes)
        if before.any():
            for part in torch.arange(len(x), device=x.device).split(self.sample_batch):
                for y in range(self.num_classes):
                    each = self.log_prob_per_pixel(x[part], torch.full_like(part, y))
                    log_p[part, y] = (each.flatten(1)[:, order] * before[part]).sum(1).to(log_p)
        return (log_p + gumbel(tuple(log_p.shape), log_p, generator)).argmax(1)

    def _fill(self, x: Tensor, known: Tensor, label: Tensor | None, generator: Generator | None, bar: Bar) -> Tensor:
        """One batch of `complete`."""
        steps = self.network.steps(len(x), x.shape[3], self._condition(label))
        return draw_in_raster_order(steps, self.likelihood, x, known, self.network.whole_pixels, generator, bar)


def check_images_on_levels(data_shape: Counts, num_levels: int | None) -> None:
    """Raises a ValueError of one line for data that are no images on levels."""
    if len(data_shape) != 3:
        raise ValueError(f"data.shape={list(data_shape)}: expected images [C, H, W], for an autoregressive model")
    if num_levels is None:
        raise ValueError("data.num_levels=null: expected images on levels; leave out data.dequantize=true")
