"""How much of the samples lies on the data's manifold, and how much of the data's on the samples', by balls that reach
to the k-th nearest neighbour."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

# Distances that are held at once: 2^20 float64 are 8 MiB, more is slower.
BLOCK = 2**20
# The share of ‖x‖² + ‖y‖² by which ‖x‖² − 2 x·y + ‖y‖² may be wrong; a bound for up to 40,000 dimensions.
ROUNDING = 1e-11
# Squared distances ‖x − y‖² that differ by less than this share are equal.
TIE = 1e-12


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al.: Improved precision and recall metric for assessing generative
    models, 2019, arXiv 1904.06991), of features real (N, D) and fake (M, D).

    Around each real example is a closed ball that reaches to the k-th nearest other real one; precision is the share of
    fake examples inside of at least one. Recall is the same with real and fake exchanged. Duplicates of an example are
    neighbours of it. The paper has N = M: the more examples, the smaller their balls. In float64. NaN where a feature
    is not finite or a set has less than k + 1.
    """
    if not _usable(real, fake, k) or len(fake) <= k:
        return math.nan, math.nan
    real, fake = real.double(), fake.to(real.device).double()
    precision, recall = ((_inside(*sets, k)[0] > 0).double().mean().item() for sets in ((fake, real), (real, fake)))
    return precision, recall


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al.: Reliable fidelity and diversity metrics for generative models, 2020, arXiv
    2002.09797), of features real (N, D) and fake (M, D).

    Balls as those of `precision_recall`, around real examples only. Density is how many of them a fake example is in,
    over k, on average; coverage is the share of them with a fake example inside. Density is 1 on average where both
    sets have one distribution, and can be more; coverage is 1 − (N − 1)⋯(N − k) / (N + M − 1)⋯(N + M − k) then, 0.97
    for k = 5 and many of both. The authors' code has open balls, which differ where a distance is just the radius, as
    with copies. In float64. NaN where a feature is not finite, there are less than k + 1 real examples or no fake one.
    """
    if not _usable(real, fake, k):
        return math.nan, math.nan
    counts, covered = _inside(fake.to(real.device).double(), real.double(), k)
    return counts.double().mean().item() / k, covered.double().mean().item()


def _usable(real: Tensor, fake: Tensor, k: int) -> bool:
    if k < 1:
        raise ValueError(f"k={k}: expected at least 1")
    return len(real) > k and len(fake) > 0 and bool(real.isfinite().all() and fake.isfinite().all())


def _inside(points: Tensor, centres: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """How many balls around centres (M, D) each of the points (N, D) is in, (N,) int64, and which balls have a point
    inside, (M,) bool; each ball reaches to the k-th nearest other centre."""
    to = _Distances(centres)
    reach = _reach(to, k) * (1 + TIE)
    counts, covered = [], torch.zeros(len(centres), dtype=torch.bool, device=centres.device)
    for part in points.split(max(1, BLOCK // len(centres))):
        distance, error = to.rounded(part)
        gap = distance.sub_(reach)
        inside = gap <= 0
        for i, j, exact in to.exact(part, gap.abs_() <= error):
            inside[i, j] = exact <= reach[j]
        counts.append(inside.sum(1))
        covered |= inside.any(0)
    return torch.cat(counts), covered


def _reach(to: "_Distances", k: int) -> Tensor:
    """The squared distance of each of `to.y` (M, D) to the k-th nearest other one, (M,)."""
    size, reach = max(1, BLOCK // len(to.y)), []
    for start in range(0, len(to.y), size):
        part = to.y[start : start + size]
        distance, error = to.rounded(part)
        # An example is no neighbour of itself, but its duplicates are.
        distance.diagonal(start).fill_(math.inf)
        at_most = (distance + error).topk(k, largest=False).values[:, -1:]
        candidates = distance - error <= at_most
        distance.fill_(math.inf)
        for i, j, exact in to.exact(part, candidates):
            distance[i, j] = exact
        reach.append(distance.topk(k, largest=False).values[:, -1])
    return torch.cat(reach)


class _Distances:
    """Squared distances of x (n, D) to y (M, D): rounded ones to all, exact ones to some."""

    def __init__(self, y: Tensor):
        self.y = y
        # Products round least about the middle; strays would pull a mean away from there.
        self._origin = y.median(0).values
        self._centred = y - self._origin
        self._squares = self._centred.square().sum(1)

    def rounded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """‖x‖² − 2 x·y + ‖y‖², and the most that rounding may have added or taken away, both (n, M)."""
        x = x - self._origin
        squares = x.square().sum(1, keepdim=True) + self._squares
        return torch.addmm(squares, x, self._centred.T, alpha=-2), squares.mul_(ROUNDING)

    def exact(self, x: Tensor, pairs: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Where `pairs` (n, M) is true, in parts: i, j and ‖x_i − y_j‖², each (P,)."""
        for part in pairs.nonzero().split(max(1, BLOCK // x.shape[1])):
            i, j = part.unbind(1)
            yield i, j, (x[i] - self.y[j]).square().sum(1)
