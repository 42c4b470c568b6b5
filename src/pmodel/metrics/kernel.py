"""Distances of two sets of features by a kernel: the maximum mean discrepancy (MMD)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Values of the kernel that are held at once: 2^20 float64 are 8 MiB, more is slower.
BLOCK = 2**20
# Examples whose pairs give the median distance.
NUM_IN_MEDIAN = 1000

Kernel = Callable[[Tensor, Tensor], Tensor]


class Discrepancy(NamedTuple):
    """An unbiased estimate of a squared maximum mean discrepancy (MMD²), and its standard error."""

    value: float
    standard_error: float


def kernel_distance(x: Tensor, y: Tensor) -> Discrepancy:
    """The unbiased MMD² of features x (N, D) and y (M, D) with the kernel (x·y / D + 1)³; of Inception's features the
    KID (Bińkowski et al.: Demystifying MMD GANs, 2018, arXiv 1801.01401).

    Over all pairs; the KID's authors average over random subsets of 1000, which has the same expectation, but is random
    and less exact. As it is unbiased, it can be below 0 where the sets are alike. In float64. NaN where a feature is
    not finite or a set has less than two; the error also where one has less than four.
    """
    return _unbiased(x, y, lambda a, b: (a @ b.T).div_(a.shape[1]).add_(1).pow_(3))


def mmd(x: Tensor, y: Tensor, bandwidth: float | None = None) -> Discrepancy:
    """The unbiased MMD² of examples x (N, D) and y (M, D) with the kernel exp(−‖x − y‖² / 2σ²), 0 to 2 but for noise
    (Gretton et al.: A kernel two-sample test, 2012, JMLR 13).

    The bandwidth σ is by default the median distance of pairs of the reference y, so one reference means one kernel,
    whatever it is compared with; the paper takes the median over x and y together. Of more than 1000 examples y, the
    pairs of 1000 that a fixed seed draws; the error is for this very bandwidth. In float64. NaN where a value is not
    finite, a set has less than two, or the median is 0; the error also where a set has less than four.
    """
    if bandwidth is not None and not bandwidth > 0:
        raise ValueError(f"bandwidth={bandwidth}: expected a number above 0")
    if not _usable(x, y):
        return Discrepancy(math.nan, math.nan)
    sigma = median_distance(y) if bandwidth is None else bandwidth
    if sigma == 0:
        return Discrepancy(math.nan, math.nan)
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


def _unbiased(x: Tensor, y: Tensor, kernel: Kernel) -> Discrepancy:
    """Mean k(x_i, x_j) over i ≠ j, plus that of y, less twice the mean k(x_i, y_j).

    Its variance is 4 ζ_x / N + 4 ζ_y / M + 2 ζ_xx / N² + 2 ζ_yy / M² + 4 ζ_xy / (N M) (Sutherland & Deka: Unbiased
    estimators for the variance of MMD estimators, 2019, arXiv 1906.02104, have it for N = M): ζ_x is the variance over
    x of E k(x, x') − E k(x, y), and the others are the variances of what is left of k when the means over either
    argument are taken away. Where both distributions are equal ζ_x = ζ_y = 0, and the error falls as 1/N. Each is
    estimated from sums over rows; ζ_x and ζ_y without what the noise of these sums adds, and
    together not below 0.
    """
    if not _usable(x, y):
        return Discrepancy(math.nan, math.nan)
    x, y = x.to(y.device).double(), y.double()
    xx, yy, xy = _within(x, kernel), _within(y, kernel), _between(x, y, kernel)
    value = xx.mean + yy.mean - 2 * xy.mean
    N, M = len(x), len(y)
    if min(N, M) < 4:
        return Discrepancy(value, math.nan)
    of_x = (xx.rows - xy.rows).var().item() - xx.rest / N - xy.rest / M
    of_y = (yy.rows - xy.columns).var().item() - yy.rest / M - xy.rest / N
    variance = 4 * max(of_x / N + of_y / M, 0)
    variance += 2 * xx.rest / N**2 + 2 * yy.rest / M**2 + 4 * xy.rest / (N * M)
    return Discrepancy(value, math.sqrt(variance))


class _Pairs(NamedTuple):
    """Of a kernel over pairs (N, M): its means, over all, over each row (N,) and each column (M,), and the variance of
    what is left without those of its row and column."""

    mean: float
    rows: Tensor
    columns: Tensor
    rest: float


def _within(x: Tensor, kernel: Kernel) -> _Pairs:
    """Over pairs i ≠ j, in blocks of rows right of the diagonal, without it."""
    N = len(x)
    size, total, squares = max(1, BLOCK // N), 0.0, 0.0
    rows = x.new_zeros(N)
    for start in range(0, N, size):
        block = kernel(x[start : start + size], x[start:]).triu_(1)
        total += block.sum().item()
        rows[start : start + size] += block.sum(1)
        rows[start:] += block.sum(0)
        squares += 2 * block.square_().sum().item()
    mean, rows = total / (N * (N - 1) / 2), rows / (N - 1)
    # k_ij − mean = a_i + a_j + rest; the row's mean is mean + a_i (N − 2) / (N − 1).
    effects = (rows - mean) * ((N - 1) / max(N - 2, 1))
    left = squares - N * (N - 1) * mean**2 - 2 * (N - 2) * effects.square().sum().item()
    return _Pairs(mean, rows, rows, max(left, 0) / max(N * (N - 3), 1))


def _between(x: Tensor, y: Tensor, kernel: Kernel) -> _Pairs:
    """Over all pairs, in blocks of rows."""
    N, M = len(x), len(y)
    rows, columns, squares = [], y.new_zeros(M), 0.0
    for part in x.split(max(1, BLOCK // M)):
        block = kernel(part, y)
        rows.append(block.sum(1) / M)
        columns += block.sum(0) / N
        squares += block.square_().sum().item()
    rows = torch.cat(rows)
    mean = rows.mean().item()
    effects = M * (rows - mean).square().sum().item() + N * (columns - mean).square().sum().item()
    left = squares - N * M * mean**2 - effects
    return _Pairs(mean, rows, columns, max(left, 0) / max((N - 1) * (M - 1), 1))
