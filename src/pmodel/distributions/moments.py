"""Sums of points and of their products, in float64."""

import torch
from torch import Tensor

# Columns of one product: X^T X is symmetric, and below the diagonal of blocks nothing is computed.
BLOCK = 112
# Of numbers from −128 to 127, the products of so many add up to at most 2^24: float32 has all integers up to there.
EXACT = 1024


def moments(x: Tensor, about: Tensor) -> dict[str, Tensor]:
    """Of points x (B, D): `first` Σ (x_n − a) (D,) and `second` Σ (x_n − a)(x_n − a)ᵀ (D, D), float64."""
    centred = x - about  # float64, as a is
    return {"first": centred.sum(0), "second": gram(centred)}


def moments_of_levels(levels: Tensor, num_levels: int, about: Tensor) -> dict[str, Tensor]:
    """The same of x = levels / (num_levels − 1), levels (B, D) being uint8: exact sums, at float32's speed."""
    D, unit, middle = levels.shape[1], num_levels - 1, num_levels // 2
    first = torch.zeros(D, dtype=torch.float64, device=levels.device)
    second = torch.zeros(D, D, dtype=torch.float64, device=levels.device)
    centred = torch.empty(min(EXACT, len(levels)), D, device=levels.device)
    for part in levels.split(EXACT):
        p = centred[: len(part)].copy_(part).sub_(middle)
        first += p.sum(0)
        second += gram(p)
    # From sums of p = level − middle to sums about a: p − t, where t = a · unit − middle.
    t, count = about * unit - middle, len(levels)
    cross = torch.outer(first, t)
    second += count * torch.outer(t, t) - cross - cross.T
    return {"first": (first - count * t) / unit, "second": second / unit**2}


def gram(x: Tensor) -> Tensor:
    """Xᵀ X of X (B, D), in X's type."""
    D = x.shape[1]
    product = x.new_empty(D, D)
    for start in range(0, D, BLOCK):
        rows, stop = slice(start, start + BLOCK), start + BLOCK
        torch.mm(x[:, rows].T, x[:, start:], out=product[rows, start:])
        product[stop:, rows] = product[rows, stop:].T
    return product
