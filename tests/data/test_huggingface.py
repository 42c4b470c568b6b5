"""Data sets that the library `datasets` reads, from folders on this machine."""

import numpy as np
import pytest
import torch
from PIL import Image
from support import source

from pmodel.data.shards import Shards

datasets = pytest.importorskip("datasets", reason="needs pmodel[huggingface]")

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 4, 5, 3), dtype=np.uint8)


@pytest.fixture(autouse=True, scope="module")
def offline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        yield


def part(first: int, last: int, label=True):
    columns = {"n": list(range(first, last)), "picture": [Image.fromarray(x) for x in PIXELS[first:last]]}
    features = {"n": datasets.Value("int64"), "picture": datasets.Image()}
    if label:
        columns["kind"] = [i % 3 for i in range(first, last)]
        features["kind"] = datasets.ClassLabel(names=["a", "b", "c"])
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One data set with two splits that `save_to_disk` wrote, and one of a .parquet."""
    root = tmp_path_factory.mktemp("sets")
    parts = datasets.DatasetDict({"train": part(0, 24), "test": part(24, 30)})
    parts.save_to_disk(str(root / "saved"))
    (root / "parquet").mkdir()
    part(0, 30).to_parquet(str(root / "parquet" / "train.parquet"))
    return root


def build(root, folder, **settings):
    place = {"name": str(root / folder), "data_dir": str(root / "data"), "shape": [3, 4, 5]}
    return source("huggingface", **{**place, "resize": False, **settings})


def levels(x: torch.Tensor) -> np.ndarray:
    return (x * 255).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("storage", ["memory", "disk"])
@pytest.mark.parametrize("folder", ["saved", "parquet"])
def test_images_labels_and_splits_are_those_of_the_data_set(folders, folder, storage):
    data = build(folders, folder, storage=storage)
    x, label = data.stored("all")
    assert isinstance(x, Shards) == (storage == "disk")
    assert np.array_equal(levels(data.seen(x[:])), PIXELS)
    assert label.tolist() == [i % 3 for i in range(30)]
    assert (data.class_names, data.num_classes) == (("a", "b", "c"), 3)
    sizes = (
        {"train": 22, "validation": 2, "test": 6} if folder == "saved" else {"train": 24, "validation": 3, "test": 3}
    )
    assert {split: data.size(split) for split in sizes} == sizes
    place = {image.tobytes(): i for i, image in enumerate(PIXELS)}
    found = {split: data.examples(split, 30) for split in sizes}
    numbers = {split: [place[image.tobytes()] for image in levels(batch.x)] for split, batch in found.items()}
    assert sorted(number for own in numbers.values() for number in own) == list(range(30))
    for split, batch in found.items():
        assert len(batch.x) == sizes[split]
        assert batch.label.tolist() == [i % 3 for i in numbers[split]]
    if folder == "saved":
        assert sorted(numbers["test"]) == list(range(24, 30))


def test_columns_are_found_or_named(folders):
    assert build(folders, "saved", label_column=None).num_classes is None
    assert build(folders, "saved", label_column="n").num_classes == 30
    assert build(folders, "saved", image_column="picture", label_column="kind").num_classes == 3
    known = r"its columns are n \(Value\), picture \(Image\), kind \(ClassLabel\)"
    with pytest.raises(ValueError, match=rf"data.label_column=other: there is no such column in .*; {known}"):
        build(folders, "saved", label_column="other").setup("fit")
    with pytest.raises(ValueError, match=rf"data.image_column=n: expected a column of images; {known}"):
        build(folders, "saved", image_column="n").setup("fit")


def test_what_is_no_data_set_is_one_line(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^data.name=.*empty: can't be read: "):
        build(tmp_path, "empty").setup("fit")
    data = source("huggingface", name="nobody/nothing", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"^data.name=nobody/nothing: can't be read: "):
        data.prepare_data()
    data = source("huggingface", name="nobody/nothing", data_dir=str(tmp_path))
    data.download = False
    with pytest.raises(ValueError, match=r"^data.name=nobody/nothing: not found; type data_dir=… for it to be"):
        data.setup("fit")


def test_an_image_that_can_not_be_read_is_named_by_its_number(tmp_path):
    broken = {"image": [{"bytes": b"no image", "path": None}] * 3}
    features = datasets.Features({"image": datasets.Image(decode=False)})
    datasets.Dataset.from_dict(broken, features=features).save_to_disk(str(tmp_path / "broken"))
    with pytest.raises(ValueError, match=r"^data.name=.*: example 0 can't be read: "):
        build(tmp_path, "broken", num_validation=0).stored("all")
