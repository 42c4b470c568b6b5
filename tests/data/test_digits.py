"""The embedded digits."""

import torch

from pmodel.data.base import SPLITS
from pmodel.data.digits import read_digits


def test_digits_are_those_of_sklearn():
    from sklearn.datasets import load_digits

    x, label = read_digits()
    expected = load_digits()
    assert torch.equal(x[:, 0].double(), torch.from_numpy(expected.images))
    assert torch.equal(label, torch.from_numpy(expected.target))


def test_splits_are_disjoint_complete_and_fixed(digits):
    x, _ = read_digits()
    splits = [digits().examples(split, 2000).x for split in SPLITS]
    assert [len(split) for split in splits] == [1297, 250, 250]
    images = torch.cat(splits).mul(16).byte().flatten(1)
    assert sorted(map(tuple, images.tolist())) == sorted(map(tuple, x.flatten(1).tolist()))
    assert len(images.unique(dim=0)) == len(images)
    assert torch.equal(digits(seed=5).examples("test", 250).x, splits[2])
    assert not torch.equal(digits(split_seed=5).examples("test", 250).x, splits[2])


def test_every_split_has_all_ten_classes(digits):
    assert digits().num_classes == 10
    for split in SPLITS:
        assert digits().examples(split, 2000).label.unique().tolist() == list(range(10))
