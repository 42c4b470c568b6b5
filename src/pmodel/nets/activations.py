"""The activation functions that a config can name."""

from typing import Literal

from torch import nn

Activation = Literal["relu", "silu", "gelu", "elu", "leaky_relu", "tanh", "softplus"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}


def activation_layer(name: Activation) -> nn.Module:
    """A new module of that name.

    Raises:
        ValueError: for a name not in `Activation`.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"activation={name}: expected one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()
