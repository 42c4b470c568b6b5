"""Crossing between the precision of networks and that of likelihoods."""

import torch
from torch import Tensor, nn


def in_own_dtype(network: nn.Module, x: Tensor) -> Tensor:
    """network(x), with x in the dtype of the network's weights: float64 under `trainer.precision=64-true`."""
    return network(x.to(next(network.parameters()).dtype))


def upcast(x: Tensor) -> Tensor:
    """x in float32 if its dtype is narrower: sums over pixels need more digits than bfloat16 has."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
