"""5,000 of MNIST's training images, which travel with the package.

python -m pmodel.data.mnist_5k data    # makes the file anew from data/MNIST/raw
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pmodel.data.base import Split
from pmodel.data.images import ImageDataModule
from pmodel.data.torchvision_images import MNIST, read_idx

FILE = Path(__file__).with_suffix(".npz")
PER_CLASS, NUM_TEST = 500, 1000
# MNIST's own validation split is the last 10,000 of its training file: a model of these images has not seen those.
DRAWN_FROM = 50_000


class MNIST5k(ImageDataModule):
    """5,000 handwritten digits, 28×28, 256 levels: 500 of each class, drawn from the first 50,000 images of MNIST's
    training file (LeCun, Cortes, Burges, 1998; licence: CC BY-SA 3.0).

    The file's order is fixed and its classes take turns, so that all splits are balanced: the last 1,000 images are
    the test split, the `num_validation` before them the validation split. All are MNIST's training images: numbers of
    this test split don't stand beside those of MNIST's.
    """

    source = "mnist_5k"
    class_names = tuple("0123456789")

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        return self.carved(split, *read_mnist_5k(), NUM_TEST)


def read_mnist_5k() -> tuple[Tensor, Tensor]:
    """The images (5000, 1, 28, 28), uint8 levels 0 … 255, and their digits (5000,), int64."""
    with np.load(FILE) as arrays:
        return torch.from_numpy(arrays["images"]).unsqueeze(1), torch.from_numpy(arrays["digits"]).long()


def chosen_from(data_dir: Path) -> dict[str, np.ndarray]:
    """What the file holds, made from MNIST's training files: the images (5000, 28, 28) and digits (5000,), uint8, and
    each image's place (5000,) in MNIST's file, int32."""
    images = read_idx(data_dir / MNIST.files[0], dims=3, source="mnist")
    labels = read_idx(data_dir / MNIST.files[1], dims=1, source="mnist")
    drawn = torch.randperm(DRAWN_FROM, generator=torch.Generator().manual_seed(0))
    places = torch.stack([drawn[labels[drawn] == digit][:PER_CLASS] for digit in range(10)], dim=1).flatten()
    return {"images": images[places].numpy(), "digits": labels[places].numpy(), "places": places.int().numpy()}


if __name__ == "__main__":
    np.savez_compressed(FILE, **chosen_from(Path(sys.argv[1])))
