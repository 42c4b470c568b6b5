"""The 5,000 images of MNIST that travel with the package."""

import numpy as np
import pytest
import torch
from support import source

from pmodel.data.base import SPLITS
from pmodel.data.mnist_5k import DRAWN_FROM, FILE, MNIST5k, chosen_from, read_mnist_5k


def data(**settings) -> MNIST5k:
    return source("mnist_5k", **settings)


@pytest.mark.mnist
def test_the_file_is_made_of_mnist_s_training_images(data_dir):
    with np.load(FILE) as arrays:
        for name, expected in chosen_from(data_dir).items():
            assert (arrays[name] == expected).all(), name
        places, digits, images = (arrays[name] for name in ("places", "digits", "images"))
    assert len(set(places)) == 5000
    assert places.max() < DRAWN_FROM
    # Where MNIST's validation split begins, and read by torchvision in place of our own reader.
    from torchvision.datasets import MNIST as TorchvisionMNIST  # noqa: N811

    whole = TorchvisionMNIST(data_dir)
    assert (whole.data[places] == torch.from_numpy(images)).all()
    assert (whole.targets[places] == torch.from_numpy(digits)).all()
    mnist = source("mnist", num_validation=10_000, data_dir=data_dir)
    mnist.examples("train", 1)
    assert mnist.split_sizes["train"] == DRAWN_FROM


def test_splits_are_disjoint_balanced_and_fixed():
    x, _ = read_mnist_5k()
    splits = [data().examples(split, 5000) for split in SPLITS]
    for split, own, part in zip(SPLITS, splits, x.split([3500, 500, 1000]), strict=True):
        assert torch.equal(own.x, part[data().kept(split, len(part))] / 255)
    assert [len(split.x) for split in splits] == [3500, 500, 1000]
    for split in splits:
        assert (split.label.bincount() == len(split.label) // 10).all()
    images = torch.cat([split.x for split in splits]).mul(255).round().byte()
    assert sorted(p.tobytes() for p in images.numpy()) == sorted(p.tobytes() for p in x.numpy())
    again = data(split_seed=5, seed=5, num_validation=0.1).examples("test", 1000)
    assert {p.tobytes() for p in again.x.numpy()} == {p.tobytes() for p in splits[2].x.numpy()}
    assert len(data(num_validation=0.1).examples("validation", 5000).x) == 400
    assert data(num_validation=0).val_dataloader() == []


def test_the_file_travels_in_less_than_a_megabyte():
    assert FILE.stat().st_size < 900_000
    assert FILE.parent.name == "data"
