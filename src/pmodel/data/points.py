"""Points instead of images: toy densities on the line and in the plane."""

from typing import Any, Literal

import torch
from torch import Tensor

from pmodel.data import mixtures
from pmodel.data.base import SPLITS, InMemoryDataModule, Split
from pmodel.data.keys import mix_key
from pmodel.settings.ranges import Count, Whole

PointSet = Literal["ring", "moons", "grid", "blobs", "mixture_1d"]

_MIXTURES = {
    "ring": mixtures.ring,
    "grid": mixtures.grid,
    "blobs": mixtures.blobs,
    "mixture_1d": mixtures.mixture_1d,
}


class Points(InMemoryDataModule):
    """Points (B, D), float32, of a toy density; their label is the component that they are drawn from.

    name: ring, grid, blobs (2-D) and mixture_1d: Gaussian mixtures; moons (2-D)
    num_train, num_validation, num_test: how many to draw

    Raises:
        ValueError: if a setting is wrong.
    """

    source = "points"
    source_levels = None

    def __init__(self, name: PointSet, num_train: Count, num_validation: Whole, num_test: Whole, **common: Any) -> None:
        super().__init__(**common)
        self.name = name
        self.sizes = dict(zip(SPLITS, (num_train, num_validation, num_test), strict=True))

    @property
    def num_classes(self) -> int:
        return 2 if self.name == "moons" else len(self.mixture.weights)

    @property
    def mixture(self) -> mixtures.GaussianMixture | None:
        """The Gaussian mixture that the points are drawn from; None if they aren't."""
        return _MIXTURES[self.name]() if self.name in _MIXTURES else None

    def log_prob(self, x: Tensor) -> Tensor:
        """The true log-density, nats, (B,), at points x (B, D)."""
        return (mixtures.moons_density() if self.mixture is None else self.mixture).log_prob(x)

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "name": self.name}

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        # One generator for each split: its points do not change with the sizes of the others.
        generator = torch.Generator().manual_seed(mix_key(self.split_seed, SPLITS.index(split)))
        draw = mixtures.sample_moons if self.name == "moons" else _MIXTURES[self.name]().sample
        x, label = draw(self.sizes[split], generator)
        index = self.kept(split, len(x))
        return x[index], label[index]
