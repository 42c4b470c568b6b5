"""k-means (Lloyd, Least Squares Quantization in PCM, 1982)."""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from pmodel.settings.ranges import Count, Counts
from pmodel.training.streaming import Refit, StreamingModule

Start = Literal["k-means++", "random", "far"]


class KMeans(StreamingModule):
    """Minimizes Σ_n min_k ‖x_n − μ_k‖²: each example goes to its nearest centre, each centre to the mean of its own.

    Several starts are run side by side; the one with the smallest sum answers. A centre that no example is nearest to
    moves to the example, among `init_size`, that is farthest from all other centres; where fewer than K points are
    distinct, clusters stay empty. Training stops when the best start's centres move by `tolerance` at most:
    Σ_k ‖Δμ_k‖² over the mean variance of a dimension, which is scikit-learn's rule too. There is no density: the model
    can't sample.

    Args:
        num_clusters: K.
        start: `k-means++` (Arthur & Vassilvitskii, 2007, the best of 2 + ⌊ln K⌋ candidates for each centre, as
            scikit-learn does), `random`: K of the examples, or `far`: the example that is farthest from the mean and
            its nearest ones, a bad start that shows what Lloyd's steps can mend and what they can't.
    """

    reads_levels = True
    # Not the validation examples': these would stop it before it has converged.
    monitor = "train/squared_distance"
    units: ClassVar[dict[str, str]] = {
        "squared_distance": "per example",
        "squared_error_per_pixel": "per pixel",
        "inertia": "summed over the examples",
        "change": "of the mean variance",
    }

    def __init__(
        self,
        data_shape: Counts,
        num_clusters: Count,
        start: Start,
        num_starts: Count,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        self.data_shape, self.start = torch.Size(data_shape), start
        D = self.data_shape.numel()
        # The point that sums are taken about.
        self.register_buffer("origin", torch.zeros(D, dtype=torch.float64))
        self.register_buffer("starts", torch.zeros(num_starts, num_clusters, D, dtype=torch.float64))
        self.register_buffer("shares", torch.zeros(num_starts, num_clusters, dtype=torch.float64))
        self.register_buffer("best", torch.tensor(0))
        self._scratch: Tensor | None = None
        # Σ_n ‖x_n‖² about the origin, once it is known.
        self.register_buffer("squares", torch.tensor(math.nan, dtype=torch.float64))

    @property
    def num_parameters(self) -> int:
        return self.centres.numel()

    @property
    def centres(self) -> Tensor:
        """μ, (K, D), float64, of the best start."""
        return self.starts[self.best]

    def remarks(self, x: Tensor) -> list[str]:
        S = len(self.starts)
        same = sum(same_centres(start, self.centres) for start in self.starts)
        if S == 1 or same == S:
            return []
        # An optimum that most starts find is seldom missed.
        advice = "" if same > S / 2 else f", and there may be a better one; try model.num_starts={4 * S}"
        return [f"{same} of {S} starts ended in the best optimum{advice}"]

    def numbers_held(self, num_dims: int) -> int:
        return max(num_dims, self.starts[:, :, 0].numel())

    def initialize(self, x: Tensor, generator: Generator) -> None:
        x = x.flatten(1)
        self.origin.copy_(x.mean(0, dtype=torch.float64))
        x = x - self.origin
        inertia = []
        for s in range(len(self.starts)):
            centres = choose_centres(x, self.starts.shape[1], self.start, generator)
            self.starts[s] = self.origin + centres
            inertia.append(squared_distances(x, centres).min(1)[0].sum())
        self.best.copy_(torch.stack(inertia).argmin())

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        S, K, D = self.starts.shape
        x = x.flatten(1)
        if x.dtype == torch.uint8:
            # Whole levels: their sums stay below 2^24, so that float32 has them exactly, and faster.
            points, unit, taken_off = self._as_float32(x), self.num_levels - 1, torch.zeros_like(self.origin)
        else:
            points, unit, taken_off = x.double() - self.origin, 1, self.origin
        label = nearest(points, (self.starts - taken_off).flatten(0, 1) * unit, S, longest=D * unit**2)
        rows = label.T + K * torch.arange(S, device=x.device)[:, None]
        members = points.new_zeros(S * K, len(x)).scatter_(0, rows, 1.0)
        counts, sums = members.sum(1).double().view(S, K), (members @ points).double().view(S, K, D) / unit
        shift = self.origin - taken_off
        found = {"counts": counts, "sums": sums - counts[:, :, None] * shift}
        if x.dtype != torch.uint8:
            # Differences: an expanded square would lose digits, and could be less than 0 where points are centres.
            centres = self.starts - taken_off
            nearest_of = (centres[s, label[:, s]] for s in range(S))
            inertia = torch.stack([(points - own).square().sum() for own in nearest_of])
            return {**found, "inertia": inertia, "squares": points.square().sum()}
        if self.squares.isfinite():
            return found  # levels are the same in each epoch
        squares = points.double().square().sum() / unit**2
        return {**found, "squares": squares + len(x) * shift.square().sum() - 2 * shift @ sums[0].sum(0)}

    def _as_float32(self, x: Tensor) -> Tensor:
        """x in memory that is used again: fresh pages would cost a fourth of an epoch's time."""
        if self._scratch is None or len(self._scratch) < len(x) or self._scratch.device != x.device:
            self._scratch = torch.empty(x.shape, device=x.device)
        return self._scratch[: len(x)].copy_(x)

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        self.squares.copy_(totals.get("squares", self.squares))
        counts, sums, squares = totals["counts"], totals["sums"], self.squares
        D = sums.shape[2]
        total = sums[0].sum(0)
        variance = ((squares - total.square().sum() / count) / count / D).clamp_min(torch.finfo(torch.float64).tiny)
        before = self.starts - self.origin
        inertia = totals.get("inertia")
        if inertia is None:
            expanded = squares + (counts[:, :, None] * before.square() - 2 * before * sums).sum((1, 2))
            # No more than rounding is left where all examples are centres.
            inertia = torch.where(expanded > 1e-12 * squares, expanded, 0)
        updated = self.origin + sums / counts.clamp_min(1)[:, :, None]
        empty = counts == 0
        if empty.any():
            x = self.start_examples().flatten(1) - self.origin
            for s in empty.any(1).nonzero().flatten():
                updated[s] = self.origin + reseed(updated[s] - self.origin, empty[s], x)
        change = (updated - self.starts).square().sum((1, 2)) / variance
        self.starts.copy_(updated)
        self.shares.copy_(counts / count)
        self.best.copy_(inertia.argmin())
        lowest = inertia[self.best].item()
        train = {"squared_distance": lowest / count, "squared_error_per_pixel": lowest / count / D, "inertia": lowest}
        if count < self.data.split_sizes.get("train", count):
            self.squares.fill_(math.nan)  # the next epoch has other examples
        return Refit(change[self.best].item(), train)

    def terms(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x.flatten(1)
        distance = (x - self.centres[self.assign(batch.x)]).square().sum(1)
        return {"squared_distance": distance, "squared_error_per_pixel": distance / x.shape[1]}

    def assign(self, x: Tensor) -> Tensor:
        """The nearest centre, (B,) int64."""
        return nearest(x.flatten(1).double() - self.origin, self.centres - self.origin)[:, 0]

    def encode(self, x: Tensor) -> Tensor:
        """The distances ‖x − μ_k‖, (B, K)."""
        # Differences: an expanded square would leave 1e-8 of the scale where x is a centre.
        mode = "donot_use_mm_for_euclid_dist"
        return torch.cdist(x.flatten(1).double(), self.centres, compute_mode=mode).to(x.dtype)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest centre, like x."""
        return self.centres[self.assign(x)].to(x.dtype).view_as(x)

    def clusters(self) -> tuple[Tensor, Tensor]:
        """The centres (K, …), and the share of the training examples that were nearest to each."""
        return self.centres.view(-1, *self.data_shape), self.shares[self.best]


# Of the functions below, x are points about their mean: far from zero, squared distances would lose digits.


def squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """‖x_n − μ_k‖² of x (B, D) and centres (K, D), (B, K), at least 0."""
    products = torch.addmm(centres.square().sum(1), x, centres.T, alpha=-2)
    return products.add_(torch.linalg.vector_norm(x, dim=1, keepdim=True).square()).clamp_min_(0)


# How close two distances may come in float32, in units of the largest ‖μ_k‖² + ‖x_n‖², before float64 decides.
CLOSE = 1e-5


def nearest(x: Tensor, centres: Tensor, groups: int = 1, longest: float | None = None) -> Tensor:
    """Which of each group's centres (groups · K, D), float64, is nearest: its number in the group, (B, groups), int64.

    x may be float32, which is faster, if ‖x_n‖² is at most `longest`; the answer is float64's.
    """

    def relative(x: Tensor, centres: Tensor) -> Tensor:
        """‖x_n − μ_k‖² − ‖x_n‖², (B, groups, K)."""
        return torch.addmm(centres.square().sum(1), x, centres.T, alpha=-2).unflatten(1, (groups, -1))

    distance = relative(x, centres.to(x.dtype))
    lowest, label = distance.min(2)
    if x.dtype == torch.float32:
        margin = CLOSE * (centres.square().sum(1).max() + longest)
        contested = ((distance <= (lowest + margin)[:, :, None]).sum(2) > 1).any(1).nonzero()[:, 0]
        label[contested] = relative(x[contested].double(), centres).argmin(2)
    return label


# How close a centre is to its like in another start, relative to the distance of that one to the next centre.
SAME = 0.1


def same_centres(one: Tensor, other: Tensor) -> bool:
    """Whether centres (K, D) are the same as others (K, D) in another order, as far as starts have converged."""
    distance, label = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    if len(label.unique()) < len(label):
        return False
    apart = torch.cdist(other, other, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf).min(1)[0]
    return bool((distance <= SAME * apart[label]).all())


def choose_centres(x: Tensor, num_clusters: int, start: Start, generator: Generator) -> Tensor:
    """K of the points x (N, D), (K, D).

    Raises:
        ValueError: if there are fewer than K points.
    """
    if len(x) < num_clusters:
        raise ValueError(f"model.num_clusters={num_clusters}: expected at most {len(x)}, the examples to start from")
    if start == "random":
        return x[torch.randperm(len(x), generator=generator)[:num_clusters].to(x.device)]
    if start == "far":
        farthest = x[torch.linalg.vector_norm(x, dim=1).argmax()]
        return x[squared_distances(x, farthest[None])[:, 0].argsort(stable=True)[:num_clusters]]
    candidates = 2 + int(math.log(num_clusters))
    first = int(torch.randint(len(x), (), generator=generator))
    chosen = [first]
    distance = squared_distances(x, x[first : first + 1])[:, 0]
    for _ in range(num_clusters - 1):
        # Where all points coincide with centres, any will do.
        cumulative = (distance if distance.sum() > 0 else torch.ones_like(distance)).cumsum(0)
        draws = torch.rand(candidates, generator=generator, dtype=torch.float64).to(x.device) * cumulative[-1]
        index = torch.searchsorted(cumulative, draws, right=True).clamp_max(len(x) - 1)
        closer = torch.minimum(distance, squared_distances(x, x[index]).T)
        best = closer.sum(1).argmin()
        chosen.append(int(index[best]))
        distance = closer[best]
    return x[chosen]


def reseed(centres: Tensor, empty: Tensor, x: Tensor) -> Tensor:
    """The centres (K, D) with those marked `empty` (K,) moved, one by one, to the point of x (N, D) farthest from all
    others."""
    centres, kept = centres.clone(), ~empty
    for k in empty.nonzero().flatten():
        if kept.any():
            centres[k] = x[squared_distances(x, centres[kept]).min(1)[0].argmax()]
        kept[k] = True
    return centres


def lloyd(x: Tensor, centres: Tensor, max_iterations: int = 100, tolerance: float = 1e-4) -> tuple[Tensor, float]:
    """k-means of points x (N, D) in memory from the given centres (K, D): the centres and Σ_n min_k ‖x_n − μ_k‖²."""
    variance = torch.linalg.vector_norm(x).square().div(x.numel()).clamp_min(torch.finfo(x.dtype).tiny)
    for _ in range(max_iterations):
        label = nearest(x, centres)[:, 0]
        counts = torch.bincount(label, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, label, x)
        updated = reseed(sums / counts.clamp_min(1)[:, None], counts == 0, x)
        change = (updated - centres).square().sum() / variance
        centres = updated
        if change <= tolerance:
            break
    return centres, squared_distances(x, centres).min(1)[0].sum().item()
