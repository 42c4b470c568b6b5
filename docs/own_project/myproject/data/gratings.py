"""Images of gratings: a data set that needs no file."""

import math

import torch
from torch import Tensor

from pmodel.data.base import SPLITS, Split
from pmodel.data.images import ImageDataModule
from pmodel.data.keys import mix_key


class Gratings(ImageDataModule):
    """1,000 images of each split, 256 levels: waves of grey in one of four directions, which are the classes.

    wavelength: from one crest to the next, in pixels
    """

    source = "gratings"
    class_names = ("0°", "45°", "90°", "135°")

    def __init__(self, wavelength: float, **common):
        super().__init__(**common)
        self.wavelength = wavelength

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W), uint8, and labels (N,)."""
        generator = torch.Generator().manual_seed(mix_key(self.split_seed, SPLITS.index(split)))
        label = torch.randint(4, (1000,), generator=generator)
        phase = 2 * math.pi * torch.rand(1000, 1, 1, generator=generator)
        angle = (label * math.pi / 4)[:, None, None]
        y, x = torch.meshgrid(*(torch.arange(size) for size in self.shape[1:]), indexing="ij")
        along = x * angle.cos() + y * angle.sin()
        grey = 0.5 + 0.5 * (2 * math.pi * along / self.wavelength + phase).sin()
        index = self.kept(split, len(label))
        images = (255 * grey).round().byte()[:, None].expand(-1, *self.shape)
        return images[index], label[index]
