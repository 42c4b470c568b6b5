"""Examples that are handed over in Python."""

from itertools import chain

import numpy as np
import pytest
import torch
from support import IMAGES
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

from pmodel.data.arrays import Arrays, Examples, examples_of, settings_of

GENERATOR = np.random.default_rng(0)
BYTES = GENERATOR.integers(0, 256, (40, 1, 3, 5), dtype=np.uint8)
LABELS = np.arange(40) % 4
POINTS = GENERATOR.normal(size=(40, 2))


def module(examples: Examples, **settings) -> Arrays:
    """The data module of examples, as conf/ would have it."""
    own = {key: value for key, value in settings_of(examples).items() if key != "_target_"}
    data = Arrays(**{**IMAGES, **own, "num_levels": examples.num_levels, **settings})
    data.hold(examples)
    return data


class Pairs(Dataset):
    def __len__(self) -> int:
        return len(BYTES)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return BYTES[i], int(LABELS[i])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(torch.from_numpy(BYTES), LABELS.tolist(), strict=True))


LOADER = DataLoader(Pairs(), batch_size=7, shuffle=True)


@pytest.mark.parametrize(
    "given",
    [
        (BYTES, LABELS),
        (BYTES[:, 0], LABELS.astype(np.uint8)),
        (torch.from_numpy(BYTES), torch.from_numpy(LABELS)),
        (BYTES / 255, LABELS),
        ((BYTES / 255).astype(np.float32), list(map(str, LABELS))),
        (BYTES.astype(np.int64), LABELS),
        Pairs(),
        Stream(),
        Subset(Pairs(), range(40)),
        TensorDataset(torch.from_numpy(BYTES), torch.from_numpy(LABELS)),
        LOADER,
        DataLoader(Stream(), batch_size=11),
    ],
)
def test_each_form_of_the_same_examples_is_stored_alike(given):
    found = examples_of(given)
    assert torch.equal(found.x, torch.from_numpy(BYTES))
    assert found.label.tolist() == LABELS.tolist()
    assert (found.class_names, found.num_levels, found.notes) == (("0", "1", "2", "3"), 256, ())
    assert found.sha256 == examples_of((BYTES, LABELS)).sha256
    assert found.batch_size == (given.batch_size if isinstance(given, DataLoader) else None)


def test_points_images_of_two_levels_and_rounded_ones():
    points = examples_of(POINTS)
    assert (points.x.dtype, points.num_levels, points.class_names) == (torch.float32, None, None)
    assert points.label.tolist() == [-1] * 40
    for given in (BYTES > 128, (BYTES > 128).astype(np.float64), (BYTES > 128).astype(np.uint8)):
        assert examples_of(given).num_levels == 2
        assert examples_of(given).x.max() == 1
    rounded = examples_of(np.full((3, 2, 2), 0.5))
    assert rounded.x.unique().tolist() == [128]
    assert rounded.notes == ("values are rounded to the nearest of 256 levels",)


def test_what_is_handed_over_is_not_shared_with_the_caller():
    own = torch.ones(5, 2)
    found = examples_of(own)
    own[:] = 0
    assert found.x.min() == 1


def test_labels_that_are_missing_or_texts():
    assert examples_of((POINTS[:4], [5, -1, 9, 5])).label.tolist() == [0, -1, 1, 0]
    assert examples_of((POINTS[:4], [5, -1, 9, 5])).class_names == ("5", "9")
    assert examples_of((POINTS[:3], np.array(["b", "a", "b"]))).label.tolist() == [1, 0, 1]


def with_nan(x: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) == 2, np.nan, x)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (5, r"^data=int: expected an array or a tensor of points \(N, D\)"),
        ([POINTS], r"^data=list: expected an array"),
        (POINTS[:2], r"^data: 2 examples, expected at least 3"),
        (POINTS[:, 0], r"^data: \[40\] of torch.float64: expected an array"),
        (np.zeros((5, 0)), r"^data: \[5, 0\]"),
        (POINTS.astype(complex), r"^data: \[40, 2\] of torch.complex128"),
        (np.array([["a"], ["b"], ["c"]]), r"^data: expected numbers, not <U1"),
        (with_nan(POINTS), r"^data: example 2 has a value that is NaN"),
        (with_nan(BYTES / 255), r"^data: example 2 has a value that is NaN"),
        (POINTS * 1e300, r"^data: example 0 has a value that is NaN or infinite in float32"),
        (BYTES / 1.0, r"^data: images with values from 0 to 255: expected floats in \[0, 1\]; x / 255 is$"),
        (BYTES / 255 - 0.1, r"^data: images with values from -0.1 to 0.9: expected floats in \[0, 1\]$"),
        (BYTES * np.int64(2), r"^data: images with values from 0 to 510: expected bytes from 0 to 255$"),
        (np.zeros((5, 8, 8, 3)), r"^data: \[5, 8, 8, 3\]: expected \(N, C, H, W\); x.transpose"),
        ((POINTS, LABELS[:9]), r"^data: labels of the shape \[9\]: expected \[40\]"),
        ((POINTS, LABELS * 0.5), r"^data: labels of float64: expected whole numbers"),
        ((POINTS, LABELS - 3), r"^data: a label of -3: expected whole numbers from 0"),
        ((POINTS, LABELS * 0), r"^data: labels of 1 classes: expected at least 2"),
        (DataLoader(Pairs(), sampler=SubsetRandomSampler(range(9))), r"^data: expected a DataLoader without a sampler"),
        (TensorDataset(*[torch.zeros(4, 2)] * 3), r"^data: items of 3 parts; expected x or pairs"),
        (DataLoader(["a", "b", "c"]), r"^data: the items of list can't be stacked: "),
    ],
)
def test_anything_else_is_refused_in_one_line(given, line):
    with pytest.raises(ValueError, match=line) as refused:
        examples_of(given)
    assert "\n" not in str(refused.value)


def test_each_example_is_in_one_split_ten_percent_each_for_validation_and_test():
    x = np.arange(105.0).reshape(-1, 1)
    data = module(examples_of(x))
    parts = {split: data.examples(split, 1000).x[:, 0].tolist() for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 85, "validation": 10, "test": 10}
    assert sorted(chain.from_iterable(parts.values())) == list(range(105))
    assert parts["test"] != list(range(95, 105))
    assert module(examples_of(x)).examples("test", 1000).x[:, 0].tolist() == parts["test"]
    assert module(examples_of(x), split_seed=1).examples("test", 1000).x[:, 0].tolist() != parts["test"]


def test_labels_stay_with_their_examples():
    data = module(examples_of((BYTES, LABELS)))
    for split in ("train", "validation", "test"):
        x, label = data.examples(split, 100)
        for image, number in zip(x, label, strict=True):
            (place,) = [i for i in range(40) if np.allclose(BYTES[i] / 255, image)]
            assert LABELS[place] == number
    assert data.num_classes == 4


def test_other_examples_or_none_are_refused():
    data = module(examples_of(BYTES))
    with pytest.raises(ValueError, match=r"^data: these are not the examples of the run"):
        data.hold(examples_of(BYTES[:30]))
    alone = Arrays(**{**IMAGES, "shape": [1, 3, 5], "num_levels": 256, "sha256": "a", "source_levels": 256})
    with pytest.raises(ValueError, match=r"^data=arrays: the examples were handed over in Python"):
        alone.setup("fit")
    with pytest.raises(ValueError, match=r"^data.binarize, data.dequantize and data.flip are for images"):
        module(examples_of(POINTS), flip=True)
