"""The 8×8 digits that come with scikit-learn: real data without a download."""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from pmodel.data.base import Split
from pmodel.data.images import ImageDataModule
from pmodel.data.keys import mix_key

_NUM_TEST = 250


class Digits(ImageDataModule):
    """1797 handwritten digits of 8×8 pixels with 17 levels: Optical Recognition of Handwritten Digits, UCI, test part.

    Split by a permutation drawn from `split_seed`: 250 for test, `num_validation` for validation, the rest for
    training.
    """

    source = "digits"
    source_levels = 17
    class_names = tuple("0123456789")

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        x, label = read_digits()
        mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(mix_key(self.split_seed)))
        return self.carved(split, x[mixed], label[mixed], _NUM_TEST)


def read_digits() -> tuple[Tensor, Tensor]:
    """The images (1797, 1, 8, 8), uint8 levels 0 … 16, and their digits (1797,), int64.

    Reads scikit-learn's file, not `sklearn.datasets.load_digits`: that import alone takes seconds (4.5 s on two slow
    cores), the file 10 ms.
    """
    import numpy as np

    package = Path(importlib.util.find_spec("sklearn").origin).parent
    rows = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",", dtype=np.uint8)
    rows = torch.from_numpy(rows)
    return rows[:, :64].reshape(-1, 1, 8, 8), rows[:, 64].long()
