"""Files of arrays: the same examples in each form and type, in memory and on disk, and a line for what is none."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from support import source

from pmodel.config.check import check_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import ConfigError
from pmodel.data import array_headers, images, shards
from pmodel.data.shards import Shards

GENERATOR = np.random.default_rng(0)
BYTES = GENERATOR.integers(0, 256, (30, 3, 5, 6), dtype=np.uint8)
LABELS = np.arange(30) % 4 - 1
POINTS = GENERATOR.normal(size=(30, 4))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 7 * 90)
    monkeypatch.setattr(shards, "MAX_PART", 4)


@pytest.fixture
def build(tmp_path):
    """The data module of arrays that are saved: one as .npy, named ones as .npz."""
    number = count()

    def build(array=None, storage="memory", compress=False, **settings):
        named = {name: settings.pop(name) for name in ("x", "y", "other") if name in settings}
        # Another file each time: one that is mapped may not be cut.
        path = tmp_path / f"{next(number)}.{'npz' if named else 'npy'}"
        if named:
            (np.savez_compressed if compress else np.savez)(path, **named)
        else:
            np.save(path, array)
        return source("arrays", path=str(path), storage=storage, data_dir=str(tmp_path / "data"), **settings)

    return build


def check(*typed: str) -> None:
    """As the command line is checked."""
    register_resolvers()
    check_overrides("train", list(typed))


def everything(data) -> torch.Tensor:
    """All examples as a model sees them, in the order of the file."""
    return data.seen(data.stored("all")[0][:])


FORMS = {
    "bytes": BYTES,
    "channels last": BYTES.transpose(0, 2, 3, 1),
    "Fortran's order": np.asfortranarray(BYTES),
    "floats": BYTES / 255,
    "half floats": (BYTES / 255).astype(np.float16),
    "big-endian": BYTES.astype(">i4"),
    "unsigned words": BYTES.astype(np.uint16),
}


@pytest.mark.parametrize("storage", ["memory", "disk"])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_the_same_images_is_read_alike(build, form, storage):
    data = build(FORMS[form], storage)
    assert (data.shape, data.num_levels, data.num_classes) == ((3, 5, 6), 256, None)
    assert torch.equal(everything(data), torch.from_numpy(BYTES) / 255)
    other = build(BYTES)
    for split, size in {"train": 24, "validation": 3, "test": 3}.items():
        assert data.size(split) == size
        assert isinstance(data.stored(split)[0], Shards) == (storage == "disk")
        assert torch.equal(data.examples(split, 30).x, other.examples(split, 30).x)
    assert (
        torch.cat([data.examples(split, 30).x for split in ("train", "validation", "test")]).unique(dim=0).shape[0]
        == 30
    )


@pytest.mark.parametrize("storage", ["memory", "disk"])
@pytest.mark.parametrize("compress", [True, False])
def test_arrays_in_an_archive_and_their_labels(build, compress, storage):
    data = build(x=BYTES[:, 0], y=LABELS[:, None], storage=storage, compress=compress, labels="y")
    assert (data.shape, data.num_classes, data.class_names) == ((1, 5, 6), 3, ("0", "1", "2"))
    assert torch.equal(everything(data), torch.from_numpy(BYTES[:, :1]) / 255)
    assert torch.equal(data.stored("all")[1], torch.from_numpy(LABELS))
    batch = data.examples("train", 30)
    place = {
        tuple(x.flatten().tolist()): int(y) for x, y in zip(torch.from_numpy(BYTES[:, :1]) / 255, LABELS, strict=True)
    }
    assert [place[tuple(x.flatten().tolist())] for x in batch.x] == batch.label.tolist()


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_points_are_read_as_float32(build, storage):
    data = build(POINTS, storage, labels=None)
    assert (data.shape, data.num_levels) == ((4,), None)
    assert torch.equal(everything(data), torch.from_numpy(POINTS).float())


def test_labels_lie_in_a_file_of_their_own(build, tmp_path):
    np.save(tmp_path / "labels.npy", np.array(["b", "a", "c"] * 10))
    data = build(BYTES, labels=str(tmp_path / "labels.npy"))
    assert data.class_names == ("a", "b", "c")
    assert data.stored("all")[1].tolist() == [1, 0, 2] * 10


@pytest.mark.parametrize(
    "form", [BYTES > 99, (BYTES > 99).astype(np.uint8), (BYTES > 99).astype(float)], ids=["bools", "bytes", "floats"]
)
def test_zeros_and_ones_are_two_levels(build, form):
    data = build(form, "disk")
    assert data.num_levels == 2
    assert torch.equal(everything(data), torch.from_numpy(BYTES > 99).float())


def test_a_level_that_comes_late_is_refused_not_cut(build, monkeypatch):
    monkeypatch.setattr(array_headers, "MAX_LOOKED_AT", 90)
    late = (BYTES > 99).astype(np.uint8)
    late[20, 0, 0, 0] = 7
    data = build(late, "disk", num_validation=0)
    with pytest.raises(ValueError, match=r"images with values from 0 to 7: expected bytes from 0 to 1"):
        everything(data)
    assert everything(build(late, "disk", source_levels=256)).max() == pytest.approx(7 / 255)


def test_bytes_are_read_where_they_lie(build, tmp_path, monkeypatch):
    assert torch.equal(everything(build(BYTES, "disk")), torch.from_numpy(BYTES) / 255)
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", 1000)
    assert isinstance(build(BYTES, "auto").stored("train")[0], Shards)
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", 10**6)
    assert isinstance(build(BYTES, "auto").stored("train")[0], torch.Tensor)


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ({"array": BYTES.astype(complex)}, {}, "expected numbers"),
        ({"array": BYTES[0, 0, 0]}, {}, r"\[6\] of uint8: expected numbers: points \(N, D\), or images"),
        ({"array": BYTES[:2]}, {}, "2 examples, expected at least 3"),
        ({"array": BYTES}, {"array": "x"}, "data.array=x: expected null with a .npy"),
        ({"x": BYTES, "y": LABELS}, {"array": "z"}, r"data.array=z: there is none in .*x \[30, 3, 5, 6\], y \[30\]"),
        ({"x": BYTES, "other": BYTES}, {}, "data.array=… must name the examples"),
        ({"x": BYTES, "y": LABELS[:9]}, {"labels": "y"}, r"data.labels=y: labels of the shape \[9\]: expected \[30\]"),
        ({"x": BYTES}, {"labels": "y"}, "data.labels=y: there is no such array"),
        ({"array": BYTES}, {"labels": "nowhere.npy"}, "data.labels=nowhere.npy: there is no such file"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_such_file_is_refused_before_anything_is_read(tmp_path, arrays, settings, message):
    array = arrays.pop("array", None)
    path = tmp_path / ("a.npz" if arrays else "a.npy")
    if arrays:
        np.savez(path, **arrays)
    else:
        np.save(path, array)
    with pytest.raises(ConfigError, match=message):
        check("data=arrays", f"data.path={path}", *(f"data.{key}={value}" for key, value in settings.items()))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (BYTES.astype(int) + 1, "images with values from 1 to 256: expected bytes from 0 to 255"),
        (BYTES / 100, r"images with values from 0 to 2.55: expected floats in \[0, 1\]"),
        (np.where(POINTS > 2, np.nan, POINTS), "has a value that is NaN or infinite in float32"),
    ],
)
def test_values_out_of_range_are_refused_with_the_file(build, array, message):
    with pytest.raises(ValueError, match=rf"data.path=.*\.npy: .*{message}"):
        everything(build(array))


@pytest.mark.parametrize("length", [40, 1000])
def test_a_file_that_is_cut_is_one_line(build, length):
    file = Path(build(BYTES, "disk").path)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ConfigError, match=r"data.path=.*\.npy: can't be read as an array"):
        check("data=arrays", f"data.path={file}")
