"""Standard errors of numbers that are no means: how far they would spread over fresh draws of all that they compare."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

SEED = 0
# Examples in a part for local statistics, about, and at most so many parts.
PART, MAX_PARTS = 125, 16
# What the partitions times (parts − 1) are for these, at least.
CONTRASTS = 32


class Partitions(NamedTuple):
    """Into how many parts sets are cut, and how often."""

    num_parts: int = 2
    num_partitions: int = 64

    @classmethod
    def of_local(cls, count: int) -> "Partitions":
        """For sets of `count` examples and a local statistic, which small parts tell as much about, in less time."""
        num_parts = max(2, min(count // PART, MAX_PARTS))
        return cls(num_parts, -(-CONTRASTS // (num_parts - 1)))

    def __str__(self) -> str:
        return f"{self.num_partitions} random partitions into {self.num_parts} parts"


def partition_error(
    statistic: Callable[..., Tensor], *sets: Tensor, partitions: Partitions | None = None, local: bool = False
) -> Tensor:
    """The standard error (K,), float64, of a statistic (K,) of sets of independent draws (N, …), (M, …), …; NaN where
    the statistic of a part is.

    Each set is cut at random into b disjoint parts, without replacement, the statistic is taken of the first parts
    together, of the second parts, and so on; and all of that again, R times. A is the variance of the values within a
    partition, over b; B is the variance of their mean between partitions. Of a U-statistic A − B is the unbiased
    estimate of its variance (Wang & Lindsay: Variance estimation of a general U-statistic with application to
    cross-validation, 2014, Statistica Sinica 24): A alone is right where the spread falls as 1/√N, and with two parts
    twice too much where it falls as 1/N, as that of a Fréchet distance near 0 does; B is the part that falls as 1/N.
    Here it is the root of A − B, of B at least and of A at most.

    Nothing is drawn with replacement: duplicates change a covariance, and make the distance to a neighbour 0.

    Args:
        partitions: b and R; None: 2 and 64, for local statistics `Partitions.of_local`.
        local: whether the statistic is a mean of what the nearest others decide. Its spread falls as 1/√N at any N,
            whatever its interactions: the root of A (Politis, Romano, Wolf: Subsampling, 1999).
    """
    count = min(map(len, sets))
    num_parts, num_partitions = partitions or (Partitions.of_local(count) if local else Partitions())
    if count < num_parts:
        return torch.full_like(statistic(*sets), math.nan, dtype=torch.float64)
    generator = Generator().manual_seed(SEED)
    rows = []
    for _ in range(num_partitions):
        cuts = [torch.randperm(len(x), generator=generator).tensor_split(num_parts) for x in sets]
        parts = [[x[i.to(x.device)] for x, i in zip(sets, part, strict=True)] for part in zip(*cuts, strict=True)]
        rows.append(torch.stack([statistic(*part) for part in parts]))
    values = torch.stack(rows).double()
    within, between = values.var(1).mean(0) / num_parts, values.mean(1).var(0)
    return (within if local else torch.maximum(within - between, between).minimum(within)).sqrt()


def share_error(share: float, count: int) -> float:
    """The standard error of the share of `count` independent examples that have something, by the binomial variance:
    (p (1 − p) / (n − 1))^½; NaN of less than two."""
    return math.sqrt(share * (1 - share) / (count - 1)) if count > 1 else math.nan
