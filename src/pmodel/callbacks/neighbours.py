"""Whether a model has learnt its training examples by heart."""

import math
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from pmodel.callbacks.densities import moment
from pmodel.callbacks.figures import Figure
from pmodel.callbacks.pictures import fixed_generator, is_picture
from pmodel.capabilities import Discriminates, Samples
from pmodel.metrics.features import MAX_VALUES, FeatureExtractor, feature_extractor
from pmodel.reporting.grids import captioned_grid, side_by_side

# Samples, and validation examples, whose distances to the training examples are compared.
NUM_COMPARED = 200
# Numbers in the training examples that are compared at once: 64 MiB in float32.
PART_VALUES = 2**24
# What is found by rounded distances is sorted by exact ones, with so many to spare.
SPARE = 8
# The height and width below which a picture is enlarged, in pixels.
CELL = 80


def nearest(x: Tensor, among: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and places of the k nearest of `among` (M, …) to each of x (N, …), Euclidean, nearest first: (N, k).

    Of all by |x|² − 2 x·y + |y|², about the mean of x, in parts of `among` on the device of x; then, since this rounds,
    of the nearest again by |x − y|.
    """
    x, among = x.flatten(1), among.flatten(1)
    mean = x.mean(0)
    centred = x - mean
    best = x.new_empty(len(x), 0), torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
    size = max(1, PART_VALUES // x.shape[1])
    for start in range(0, len(among), size):
        y = among[start : start + size].to(x) - mean
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


class NearestNeighbours(Figure):
    """Samples, and the training examples nearest to each: in pixels, and in features of a network; with the distances.

    The titles compare the median distance of samples to their nearest training example with that of validation
    examples to theirs: a model that repeats its training examples is much nearer. All training examples are searched,
    or as many as 2^28 numbers hold. For pictures of models that are trained against a discriminator.

    Args:
        cache_dir: keeps the weights of the network for the next run; None: nowhere.
    """

    name = "neighbours"

    def __init__(self, num_images: int = 8, num_neighbours: int = 4, cache_dir: str | None = None):
        for setting, value in {"num_images": num_images, "num_neighbours": num_neighbours}.items():
            if value < 1:
                raise ValueError(f"callbacks.figures.include.neighbours.{setting}={value}: expected at least 1")
        self.num_images, self.num_neighbours = num_images, num_neighbours
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        # Of the training examples, and the median distances of validation examples to these: the same all the time.
        self._features: Tensor | None = None
        self._real_medians: list[float] | None = None

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        if not (isinstance(model, Samples) and isinstance(model, Discriminates)):
            return None
        data = trainer.datamodule
        train = data.examples("train", MAX_VALUES // math.prod(data.shape)).x
        if not is_picture(train):
            return None
        extractor = feature_extractor(data, self.cache_dir).to(model.device)
        if self._features is None:
            self._features = extractor.features(train)
        x = model.sample(max(NUM_COMPARED, self.num_images), generator=fixed_generator(model.device))
        count = min(self.num_neighbours, len(train))
        in_pixels, in_features = self._neighbours(x, train, extractor, count)
        medians = [f"medians: {len(x)} samples {_median(found):.2f}" for found in (in_pixels, in_features)]
        validation = data.examples("validation", NUM_COMPARED).x
        if len(validation):
            if self._real_medians is None:
                found = self._neighbours(validation.to(model.device), train, extractor, 1)
                self._real_medians = [_median(neighbours) for neighbours in found]
            medians = [
                f"{text}, {len(validation)} validation examples {real:.2f}"
                for text, real in zip(medians, self._real_medians, strict=True)
            ]
        shown = x[: self.num_images]
        blocks = {
            "samples": side_by_side({"": captioned_grid(shown, [""] * len(shown), 1, min_size=CELL)}),
            "nearest in pixels": side_by_side({medians[0]: self._block(train, *in_pixels)}),
            f"nearest in features: {extractor.name}": side_by_side({medians[1]: self._block(train, *in_features)}),
        }
        searched = f"{len(train):,} training examples"
        if len(train) < data.split_sizes["train"]:
            searched = f"the first {searched}"
        title = f"samples {moment(trainer)} and their distances to the nearest of {searched}"
        return side_by_side({title: side_by_side(blocks)})

    def _neighbours(
        self, x: Tensor, train: Tensor, extractor: FeatureExtractor, k: int
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Distances and places of the k nearest, in pixels and in features."""
        return nearest(x, train, k), nearest(extractor.features(x), self._features, k)

    def _block(self, train: Tensor, distance: Tensor, place: Tensor) -> np.ndarray:
        rows = slice(self.num_images)
        captions = [f"{d:.2f}" for d in distance[rows].flatten().tolist()]
        return captioned_grid(train[place[rows].flatten().cpu()], captions, place.shape[1], min_size=CELL)


def _median(neighbours: tuple[Tensor, Tensor]) -> float:
    """Of the distances to the nearest."""
    distance, _ = neighbours
    return distance[:, 0].median().item()
