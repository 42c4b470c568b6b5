"""How far two clouds of points are apart."""

import math

import torch
from torch import Tensor

from pmodel.metrics.errors import Partitions, partition_error

# Directions and partitions for the error.
NUM_IN_ERROR, PARTITIONS = 32, Partitions()
# Projections that are held at once: 2^22 float64 are 32 MiB.
BLOCK = 2**22


def sliced_wasserstein(x: Tensor, y: Tensor, num_directions: int = 256) -> float:
    """(mean_θ W₂²(x·θ, y·θ))^½ over unit vectors θ, for points x (N, D) and y (M, D), in the units of the points
    (Bonneel et al.: Sliced and Radon Wasserstein barycenters of measures, 2015, J. Math. Imaging Vis. 51).

    The directions are the same each time: on the line one, which makes it W₂ itself; in the plane evenly spaced over
    the half circle; else normal draws of a fixed seed, where the paper has fresh ones. A shift by t is ‖t‖ / √D apart,
    on average over directions. Transport on each line is exact, also for N ≠ M. In float64. NaN where a coordinate is
    not finite or a cloud is empty.
    """
    if num_directions < 1:
        raise ValueError(f"num_directions={num_directions}: expected at least 1")
    if not (len(x) and len(y) and x.isfinite().all() and y.isfinite().all()):
        return math.nan
    x, y = x.double(), y.to(x.device).double()
    theta = directions(x.shape[1], num_directions).to(x.device)
    i, j, width = (part.to(x.device) for part in _plan(len(x), len(y)))
    total = 0.0
    for part in theta.split(max(1, BLOCK // (len(x) + len(y)))):
        a, b = ((points @ part.T).T.sort(1).values for points in (x, y))
        total += ((a[:, i] - b[:, j]).square() @ width).sum().item()
    return math.sqrt(total / len(theta))


def sliced_wasserstein_error(x: Tensor, y: Tensor) -> float:
    """The standard error of `sliced_wasserstein` over fresh points of both clouds.

    It is that of the square, which is nearly a U-statistic, by `partition_error` on 32 directions, over twice the
    distance. NaN where the distance is 0 or a cloud has less than two points.
    """
    distance = sliced_wasserstein(x, y)

    def square(a: Tensor, b: Tensor) -> Tensor:
        return torch.tensor([sliced_wasserstein(a, b, NUM_IN_ERROR) ** 2], dtype=torch.float64)

    return partition_error(square, x, y, partitions=PARTITIONS).item() / (2 * distance) if distance > 0 else math.nan


def directions(D: int, num: int) -> Tensor:
    """Unit vectors (num, D), float64, the same each time; on the line (1, 1)."""
    if D == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    if D == 2:
        angle = torch.arange(num, dtype=torch.float64) * (math.pi / num)
        return torch.stack([angle.cos(), angle.sin()], 1)
    theta = torch.randn(num, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return theta / theta.norm(dim=1, keepdim=True)


def _plan(N: int, M: int) -> tuple[Tensor, Tensor, Tensor]:
    """The optimal transport of N sorted points on a line, of weight 1/N each, to M of 1/M: which goes where (at most
    N + M − 1,), int64, and how much of the weight, float64."""
    # The quantile functions jump at i / N and j / M; in integers, equal jumps are found equal.
    unit = math.lcm(N, M)
    jumps = torch.cat([torch.arange(N + 1) * (unit // N), torch.arange(M + 1) * (unit // M)]).unique()
    left, width = jumps[:-1], jumps.diff()
    return left // (unit // N), left // (unit // M), width.double() / unit
