"""Whether a model has learnt its training examples by heart."""

import math
from pathlib import Path

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Discriminates, Samples
from pmodel.features.dataset_network import feature_extractor
from pmodel.figures.figure import Figure, Scene, need, need_images
from pmodel.figures.images import fixed_generator
from pmodel.metrics.nearest import nearest
from pmodel.plots.grids import captioned_grid, side_by_side
from pmodel.settings.ranges import Count

# Samples, and validation examples, whose distances to the training examples are compared.
NUM_COMPARED = 200
# The height and width below which an image is enlarged, in pixels.
CELL = 80
# Numbers in all training examples that are compared: 2^27 float32 are 512 MiB.
MAX_VALUES = 2**27


class NearestNeighbours(Figure):
    """Samples, and the training examples nearest to each: in pixels, and in features of a network; with the distances.

    The titles compare the median distance of samples to their nearest training example with that of validation
    examples to theirs: a model that repeats its training examples is much nearer. As many training examples are
    searched as 2^28 numbers hold.

    Args:
        cache_dir: keeps the weights of the network for the next run; None: nowhere.
        all_models: whether to draw 200 samples of any model that can, however slow; else only of models that are
            trained against a discriminator, whose samples are cheap.
    """

    group = "samples"
    caption = (
        "Samples beside the training examples that are nearest to them: a sample that equals its neighbour "
        "was copied, not invented."
    )

    def __init__(self, num_images: Count, num_neighbours: Count, cache_dir: str | None, all_models: bool) -> None:
        self.num_images, self.num_neighbours = num_images, num_neighbours
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self.all_models = all_models
        # Of the training examples, and the median distances of validation examples to these: the same all the time.
        self._features: Tensor | None = None
        self._real_medians: dict[str, float] = {}

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Samples)
        if not self.all_models:
            need(model, Discriminates)
        data = scene.data
        train = need_images(data.examples("train", MAX_VALUES // math.prod(data.shape)).x, "training")
        extractor = feature_extractor(data, self.cache_dir).to(model.device)
        if self._features is None:
            self._features = extractor.features(train)
        x = model.sample(max(NUM_COMPARED, self.num_images), generator=fixed_generator(model.device))
        validation = data.examples("validation", NUM_COMPARED).x.to(model.device)
        shown = x[: self.num_images]
        blocks = {"samples": side_by_side({"": captioned_grid(shown, [""] * len(shown), 1, min_size=CELL)})}
        spaces = {
            "pixels": (lambda x: x, train),
            f"features: {extractor.name}": (extractor.features, self._features),
        }
        for space, (features, among) in spaces.items():
            distance, place = nearest(features(x), among, min(self.num_neighbours, len(train)))
            medians = f"medians: {len(x)} samples {distance[:, 0].median():.2f}"
            if len(validation):
                if space not in self._real_medians:
                    self._real_medians[space] = nearest(features(validation), among, 1)[0].median().item()
                medians += f", {len(validation)} validation examples {self._real_medians[space]:.2f}"
            neighbours = train[place[: len(shown)].flatten().cpu()]
            captions = [f"{d:.2f}" for d in distance[: len(shown)].flatten().tolist()]
            block = captioned_grid(neighbours, captions, place.shape[1], min_size=CELL)
            blocks[f"nearest in {space}"] = side_by_side({medians: block})
        first = "the first " if len(train) < data.split_sizes["train"] else ""
        title = f"samples {scene.moment} and their distances to the nearest of {first}{len(train):,} training examples"
        return side_by_side({title: side_by_side(blocks)})
