"""Distances of two sets of features by a kernel: the maximum mean discrepancy (MMD)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Values of the kernel that are held at once: 2^20 float64 are 8 MiB, more is slower.
BLOCK = 2**20
# Examples whose pairs give the median distance.
NUM_IN_MEDIAN = 1000

Kernel = Callable[[Tensor, Tensor], Tensor]


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """The unbiased MMD² of features x (N, D) and y (M, D) with the kernel (x·y / D + 1)³; of Inception's features the
    KID (Bińkowski et al.: Demystifying MMD GANs, 2018, arXiv 1801.01401).

    Over all pairs; the KID's authors average over random subsets of 1000, which has the same expectation, but is random
    and less exact. As it is unbiased, it can be below 0 where the sets are alike. In float64. NaN where a feature is
    not finite or a set has less than two.
    """
    return _unbiased(x, y, lambda a, b: (a @ b.T).div_(a.shape[1]).add_(1).pow_(3))


def mmd(x: Tensor, y: Tensor, bandwidth: float | None = None) -> float:
    """The unbiased MMD² of examples x (N, D) and y (M, D) with the kernel exp(−‖x − y‖² / 2σ²), 0 to 2 but for noise
    (Gretton et al.: A kernel two-sample test, 2012, JMLR 13).

    The bandwidth σ is by default the median distance of pairs of the reference y, so one reference means one kernel,
    whatever it is compared with; the paper takes the median over x and y together. Of more than 1000 examples y, the
    pairs of 1000 that a fixed seed draws. In float64. NaN where a value is not finite, a set has less than two, or the
    median is 0.
    """
    if bandwidth is not None and not bandwidth > 0:
        raise ValueError(f"bandwidth={bandwidth}: expected a number above 0")
    if not _usable(x, y):
        return math.nan
    sigma = median_distance(y) if bandwidth is None else bandwidth
    if sigma == 0:
        return math.nan
    # ‖x‖² − 2 x·y + ‖y‖² cancels least about the middle.
    y = y.double()
    origin = y.mean(0)

    def gaussian(a: Tensor, b: Tensor) -> Tensor:
        squares = torch.einsum("nd,nd->n", a, a)[:, None] + torch.einsum("nd,nd->n", b, b)
        return squares.addmm_(a, b.T, alpha=-2).clamp_min_(0).mul_(-0.5 / sigma**2).exp_()

    return _unbiased(x.to(y) - origin, y - origin, gaussian)


def median_distance(y: Tensor) -> float:
    """The median Euclidean distance of two of the examples y (M, D), or of 1000 of them that a fixed seed draws."""
    if len(y) > NUM_IN_MEDIAN:
        chosen = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:NUM_IN_MEDIAN]
        y = y[chosen.to(y.device)]
    return torch.nn.functional.pdist(y.double()).quantile(0.5).item()


def _usable(x: Tensor, y: Tensor) -> bool:
    return min(len(x), len(y)) > 1 and bool(x.isfinite().all() and y.isfinite().all())


def _unbiased(x: Tensor, y: Tensor, kernel: Kernel) -> float:
    """Mean k(x_i, x_j) over i ≠ j, plus that of y, less twice the mean k(x_i, y_j)."""
    if not _usable(x, y):
        return math.nan
    x, y = x.to(y.device).double(), y.double()
    return _within(x, kernel) + _within(y, kernel) - 2 * _between(x, y, kernel)


def _within(x: Tensor, kernel: Kernel) -> float:
    """The mean over pairs i < j, in blocks of rows right of the diagonal, without it."""
    size, total = max(1, BLOCK // len(x)), 0.0
    for start in range(0, len(x), size):
        total += kernel(x[start : start + size], x[start:]).triu_(1).sum().item()
    return total / (len(x) * (len(x) - 1) / 2)


def _between(x: Tensor, y: Tensor, kernel: Kernel) -> float:
    """The mean over all pairs, in blocks of rows."""
    return sum(kernel(part, y).sum().item() for part in x.split(max(1, BLOCK // len(y)))) / (len(x) * len(y))
