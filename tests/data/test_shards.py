"""Images on disk: the same examples, in the same order and with the same draws, as in memory."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import source

from pmodel.data import images, shards
from pmodel.data.image_files import ImageReader
from pmodel.data.shards import Rows, Shards, in_sequence, key_of, written


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Seven images of 3×4 pixels and three channels in each."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 7 * 36)
    monkeypatch.setattr(shards, "MAX_PART", 3)
    monkeypatch.setattr(images, "_CHUNK", 5)


def random_rows(count=40, width=36) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, width), dtype=np.uint8)


def on_disk(x: np.ndarray, folder: Path) -> Shards:
    rows = Rows(x.shape, x.dtype.type, lambda first, last: x[first:last])
    return written(rows, folder, key_of("test"), "writing")[0]


def folder_of_images(root: Path, count=30) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (count, 3, 4, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        file = root / "images" / ("cat" if i % 3 else "dog") / f"{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return root / "images"


def open_folder(path: Path, storage="disk", **settings):
    place = {"path": str(path), "data_dir": str(path.parent / "data")}
    fixed = {"shape": [3, 3, 4], "batch_size": 5, "num_validation": 6}
    return source("image_folder", **{**place, **fixed, "storage": storage, **settings})


def test_rows_are_those_of_the_tensor_wherever_they_lie(tmp_path):
    x = random_rows()
    found, expected = on_disk(x, tmp_path), torch.from_numpy(x)
    assert len(list(tmp_path.glob("*/*.npy"))) == 6
    assert (len(found), found.shape, found.dtype) == (40, expected.shape, torch.uint8)
    generator = torch.Generator().manual_seed(1)
    for index in (
        torch.randperm(40, generator=generator),
        torch.tensor([39, 0, 39]),
        torch.arange(5, 9),
        torch.arange(0),
    ):
        assert torch.equal(found[index], expected[index])
    assert torch.equal(found[3:24], expected[3:24])
    assert torch.equal(torch.cat(list(found.split(9))), expected)
    chosen = torch.tensor([8, 1, 30, 31])
    assert torch.equal(found.select(chosen)[torch.tensor([2, 0])], expected[[30, 8]])
    assert torch.equal(found.select(chosen).select(torch.tensor([3, 1]))[:], expected[[31, 1]])


SETTINGS = [
    {},
    {"binarize": "dynamic"},
    {"binarize": "static"},
    {"binarize": "threshold"},
    {"dequantize": True},
    {"flip": True},
    {"flip": True, "redraw": False},
    {"flip": True, "redraw": False, "binarize": "dynamic"},
    {"redraw": False, "dequantize": True},
    {"num_labels": 7, "binarize": "static"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_examples_order_and_draws_are_those_of_memory(tmp_path, settings):
    path = folder_of_images(tmp_path)
    disk, memory = (open_folder(path, storage, **settings) for storage in ("disk", "memory"))
    assert isinstance(disk._split("train")[0], Shards)
    assert isinstance(memory._split("train")[0], torch.Tensor)
    assert disk.protocol() == memory.protocol()
    for data in (disk, memory):
        data.loaders = data.train_dataloader(), data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    count = 0
    for ours, theirs in zip(disk.loaders, memory.loaders, strict=True):
        for raw, expected in zip([*ours, *ours], [*theirs, *theirs], strict=True):
            assert raw[1:] == expected[1:] if isinstance(raw.label, int) else torch.equal(raw.label, expected.label)
            a, b = disk.on_after_batch_transfer(raw), memory.on_after_batch_transfer(expected)
            assert torch.equal(a.x, b.x)
            count += len(a.x)
    assert count == 2 * (2 * disk.split_sizes["train"] + 6 + 6)
    for split in ("train", "validation", "test"):
        assert torch.equal(disk.examples(split, 4, seed=3).x, memory.examples(split, 4, seed=3).x)


def test_what_was_read_ahead_is_not_counted_as_given(tmp_path):
    data = open_folder(folder_of_images(tmp_path))
    loader, whole = data.train_dataloader(), [raw.x for raw in open_folder(tmp_path / "images").train_dataloader()]
    batches = iter(loader)
    given = [next(batches).x for _ in range(2)]
    other = data.train_dataloader()
    other.load_state_dict(loader.state_dict())
    batches.close()
    rest = [raw.x for raw in other]
    assert all(torch.equal(a, b) for a, b in zip([*given, *rest], whole, strict=True))


def test_a_second_run_decodes_nothing(tmp_path, monkeypatch):
    path = folder_of_images(tmp_path)
    first = open_folder(path)
    first.setup("fit")

    def refuse(*arguments):
        raise AssertionError("an image was decoded again")

    monkeypatch.setattr(ImageReader, "_decode", refuse)
    second = open_folder(path, seed=7)
    second.setup("fit")
    assert second.notes == first.notes
    assert torch.equal(second.examples("train", 30).x, first.examples("train", 30).x)


def test_a_changed_file_or_setting_makes_new_shards(tmp_path):
    path, folder = folder_of_images(tmp_path), tmp_path / "data/shards"
    file = sorted(path.glob("*/*.png"))[0]

    def black() -> int:
        """How many images are black, and all images are read."""
        x = open_folder(path, num_validation=0).examples("train", 30).x
        assert len(x) == 30
        return int((x == 0).flatten(1).all(1).sum())

    assert black() == 0
    Image.new("RGB", (4, 3)).save(file)
    assert black() == 1
    assert len(list(folder.iterdir())) == 2
    os.utime(file, (1, 1))
    assert black() == 1
    file.rename(file.with_name("other.png"))
    assert black() == 1
    assert len(list(folder.iterdir())) == 4
    assert open_folder(path, num_validation=0, shape=[3, 2, 2]).examples("train", 1).x.shape == (1, 3, 2, 2)
    assert len(list(folder.iterdir())) == 5


def test_what_was_done_to_the_files_is_said_of_all_of_them(tmp_path):
    path = folder_of_images(tmp_path)
    Image.new("RGB", (9, 3)).save(path / "cat" / "wide.png")
    disk, memory = (open_folder(path, storage, num_validation=0.2) for storage in ("disk", "memory"))
    for data in (disk, memory):
        for split in ("train", "validation", "test"):
            data.examples(split, 1)
    assert disk.notes == memory.notes
    assert any("1 of 31 images: cut centrally" in note for note in disk.notes)


def test_auto_holds_large_splits_on_disk(tmp_path, monkeypatch):
    path = folder_of_images(tmp_path)
    assert isinstance(open_folder(path, "auto")._split("train")[0], torch.Tensor)
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", 10 * 36)
    data = open_folder(path, "auto")
    assert isinstance(data._split("train")[0], Shards)
    assert isinstance(data._split("validation")[0], torch.Tensor)


KILLED = """
import os, sys, time
from pathlib import Path
from pmodel import build
from pmodel.data import shards
from pmodel.data.image_files import ImageReader

shards.SHARD_BYTES, shards.MAX_PART = 7 * 36, 3
decode, count = ImageReader._decode, 0

def counted(self, name, content):
    global count
    count += 1
    if count > {until}:
        os.kill(os.getpid(), 9)
    open(os.path.join({log!r}, name.replace("/", "_")), "a").write("x")
    time.sleep({pause})
    return decode(self, name, content)

ImageReader._decode = counted
data = build("data=image_folder", path={path!r}, data_dir={data_dir!r}, shape=[3, 3, 4], storage="disk", seed=0,
             num_validation=0, label_seed=0)
ready = Path({log!r} + "_ready")
ready.mkdir(exist_ok=True)
(ready / str(os.getpid())).touch()
while len(list(ready.iterdir())) < {together}:
    time.sleep(0.01)
data.setup("fit")
"""


def decoding(path: Path, log: Path, until: int, together: int = 1, pause: float = 0) -> subprocess.Popen:
    """A process that reads the images, once so many of them are ready to; it is killed after `until` images, and each
    takes `pause` seconds."""
    log.mkdir(exist_ok=True)
    places = {"path": str(path), "data_dir": str(path.parent / "data"), "log": str(log)}
    code = KILLED.format(**places, until=until, together=together, pause=pause)
    return subprocess.Popen([sys.executable, "-c", code], cwd=path.parent)


def times_decoded(log: Path) -> list[int]:
    return [len(file.read_text()) for file in sorted(log.iterdir())]


def test_a_kill_in_the_middle_of_a_shard_costs_that_shard(tmp_path):
    path, log = folder_of_images(tmp_path), tmp_path / "log"
    assert decoding(path, log, until=18).wait(120) == -signal.SIGKILL
    folder = next((tmp_path / "data/shards").iterdir())
    assert sorted(file.name for file in folder.glob("*.npy")) == ["00000.npy", "00001.npy"]
    assert len(list(folder.glob("*.tmp"))) == 1
    assert decoding(path, log, until=99).wait(120) == 0
    # Fourteen images are in whole shards; of the others, those of one shard may be decoded twice.
    assert 0 < sum(times_decoded(log)) - 30 <= 7
    assert len(list(folder.glob("*.npy"))) == 5
    assert not list(folder.glob("*.tmp"))
    data = open_folder(path, num_validation=0)
    memory = open_folder(path, "memory", num_validation=0)
    assert torch.equal(data.examples("train", 30).x, memory.examples("train", 30).x)


def test_processes_that_begin_together_share_the_work(tmp_path):
    path, log = folder_of_images(tmp_path), tmp_path / "log"
    started = [decoding(path, log, until=99, together=3, pause=0.02) for _ in range(3)]
    assert [process.wait(120) for process in started] == [0, 0, 0]
    assert times_decoded(log) == [1] * 30


def test_rows_made_in_sequence_are_the_same_from_any_position():
    x = torch.from_numpy(random_rows(30, 2))
    read = in_sequence(lambda: iter(x.split(5)))
    for first, last in [(0, 3), (3, 11), (20, 24), (24, 30), (7, 8), (0, 30)]:
        assert np.array_equal(read(first, last), x[first:last].numpy())


def test_what_can_not_be_written_is_one_line(tmp_path, monkeypatch):
    path = folder_of_images(tmp_path)
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ValueError, match=r"data/shards/\w+ can't be written to: Not a directory; data_dir=… names"):
        open_folder(path).setup("fit")
    (tmp_path / "data").unlink()
    monkeypatch.setattr(shards.shutil, "disk_usage", lambda folder: type("", (), {"free": 100}))
    with pytest.raises(ValueError, match=r"0\.0 GB are needed, and 0\.0 GB are free"):
        open_folder(path).setup("fit")


@pytest.mark.parametrize("damage", ["cut", "text", "of another shape", "without notes"])
def test_damaged_shards_are_refused_by_their_folder(tmp_path, damage):
    path = folder_of_images(tmp_path)
    open_folder(path).setup("fit")
    file = sorted((tmp_path / "data/shards").glob("*/00000.npy"))[0]
    if damage == "cut":
        os.truncate(file, 200)
    elif damage == "text":
        file.write_text("no array")
    elif damage == "without notes":
        file.with_suffix(".json").unlink()
    else:
        np.save(file, np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=f"{file.parent.name} is damaged.*delete it"):
        open_folder(path).setup("fit")


def test_an_image_that_can_not_be_read_is_named_and_the_whole_shards_stay(tmp_path):
    path = folder_of_images(tmp_path)
    whole = open_folder(path, num_validation=0)
    last = whole._listing.names[whole._splits_listed["train"][whole.kept("train", 30)][-1]]
    (path / last).write_bytes(b"no image")
    with pytest.raises(ValueError, match=f"{last} can't be read"):
        open_folder(path, num_validation=0).setup("fit")
    folder = next((tmp_path / "data/shards").iterdir())
    assert len(list(folder.glob("*.npy"))) == 4
    assert not list(folder.glob("*.tmp"))
    assert json.loads((folder / "00000.json").read_text())["count"] == 7
