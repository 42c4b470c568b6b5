"""The normalizations of feature maps that a config can name, and batch statistics outside of training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Norm = Literal["batch", "layer", "none"]


def norm_layer(name: Norm, channels: int) -> nn.Module:
    """A new module for maps (B, channels, H, W).

    `layer` normalizes each example over its channels and places, as critics with a gradient penalty need.

    Raises:
        ValueError: for a name not in `Norm`.
    """
    match name:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "none":
            return nn.Identity()
    raise ValueError(f"norm={name}: expected batch, layer or none")


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Lets batch normalization use the statistics of its batch, as in training, and leaves its averages alone.

    The averages of a discriminator are over real and generated batches, two kinds that it has never seen mixed.
    """
    layers = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.track_running_stats, layer.training = False, True
    try:
        yield
    finally:
        for layer, training in zip(layers, before, strict=True):
            layer.track_running_stats, layer.training = True, training
