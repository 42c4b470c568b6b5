"""Which examples are nearest, and how far away."""

import torch
from torch import Tensor

# Numbers in the examples searched at once, and distances to them: 64 MiB in float32.
PART_VALUES = 2**24
# What is found by rounded distances is sorted by exact ones, with so many to spare.
SPARE = 8


def nearest(x: Tensor, among: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and places of the k nearest of `among` (M, …) to each of x (N, …), Euclidean, nearest first: (N, k).

    Of all by |x|² − 2 x·y + |y|², about the median of x, in parts of `among` on the device of x; then, since this
    rounds, of the nearest again by |x − y|.
    """
    x, among = x.flatten(1), among.flatten(1)
    # Strays among samples would pull a mean away, and what is far from 0 loses digits.
    middle = x.median(0).values
    centred = x - middle
    best = x.new_empty(len(x), 0), torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
    size = max(1, PART_VALUES // max(x.shape))
    for start in range(0, len(among), size):
        y = among[start : start + size].to(x) - middle
        # Without |x|², which is the same for all.
        distance = torch.addmm(y.square().sum(1)[None], centred, y.T, alpha=-2)
        place = torch.arange(start, start + len(y), device=x.device).expand(len(x), -1)
        distance, place = torch.cat([best[0], distance], 1), torch.cat([best[1], place], 1)
        found = distance.topk(min(k + SPARE, distance.shape[1]), largest=False)
        best = found.values, place.gather(1, found.indices)
    place = best[1]
    rows = zip(x, place.to(among.device), strict=True)
    exact = torch.stack([(row - among[chosen].to(row)).square().sum(1).sqrt() for row, chosen in rows])
    distance, order = exact.sort(dim=1, stable=True)
    return distance[:, :k], place.gather(1, order)[:, :k]
