"""Whether a model has learnt its training examples by heart."""

import math
from pathlib import Path

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Discriminates, Samples
from pmodel.features.dataset_network import MAX_VALUES, feature_extractor
from pmodel.features.extractor import FeatureExtractor
from pmodel.figures.figure import Figure, NotShown, Scene
from pmodel.figures.images import fixed_generator
from pmodel.figures.shapes import is_image, not_images
from pmodel.metrics.nearest import nearest
from pmodel.plots.grids import captioned_grid, side_by_side
from pmodel.settings.ranges import Count

# Samples, and validation examples, whose distances to the training examples are compared.
NUM_COMPARED = 200
# The height and width below which an image is enlarged, in pixels.
CELL = 80


class NearestNeighbours(Figure):
    """Samples, and the training examples nearest to each: in pixels, and in features of a network; with the distances.

    The titles compare the median distance of samples to their nearest training example with that of validation
    examples to theirs: a model that repeats its training examples is much nearer. All training examples are searched,
    or as many as 2^28 numbers hold. For images.

    Args:
        cache_dir: keeps the weights of the network for the next run; None: nowhere.
        all_models: whether to draw 200 samples of any model that can, however slow; else only of models that are
            trained against a discriminator, whose samples are cheap.
    """

    name = "neighbours"
    title = "Nearest neighbours"
    caption = (
        "Samples beside the training examples that are nearest to them: a sample that equals its neighbour "
        "was copied, not invented."
    )
    caption_of_points = (
        "Samples and the training points that are nearest to them: a sample that lies on its neighbour was "
        "copied, not invented."
    )

    def __init__(self, num_images: Count, num_neighbours: Count, cache_dir: str | None, all_models: bool) -> None:
        self.num_images, self.num_neighbours = num_images, num_neighbours
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self.all_models = all_models
        # Of the training examples, and the median distances of validation examples to these: the same all the time.
        self._features: Tensor | None = None
        self._real_medians: list[float] | None = None

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
        if not isinstance(model, Samples):
            return NotShown("the model has no sample")
        if not (isinstance(model, Discriminates) or self.all_models):
            return NotShown("only for models trained against a discriminator")
        data = scene.data
        train = data.examples("train", MAX_VALUES // math.prod(data.shape)).x
        if not is_image(train):
            return not_images(train, "training")
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
        title = f"samples {scene.moment} and their distances to the nearest of {searched}"
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
