"""Folders and .zip files of pictures: splits, classes, and the messages for what can be wrong with them."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pmodel.data.base import SPLITS
from pmodel.data.image_folder import ImageFolder

ROOT = Path(__file__).parents[2]


def save(path: Path, level: int, size=(4, 3), mode="RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode == "L" else (level, 2 * level, 3 * level)).save(path)


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def build(path, **settings) -> ImageFolder:
    return ImageFolder(**{"path": str(path), "shape": [3, 3, 4], "num_levels": 256} | settings)


def contents(data, split) -> list[tuple[int, int]]:
    """The level of the first channel, and the label, of each picture of a split, sorted."""
    batch = data.examples(split, 1000)
    return sorted(zip((batch.x[:, 0, 0, 0] * 255).round().int().tolist(), batch.label.tolist(), strict=True))


@pytest.fixture
def folder(tmp_path) -> Path:
    """train/ and test/ with the classes cat and dog, and files that are no pictures."""
    root = tmp_path / "pets"
    for i in range(10):
        save(root / "train" / "cat" / f"{i}.png", i)
        save(root / "train" / "dog" / f"{i}.bmp", 20 + i)
    save(root / "test" / "dog" / "deeper" / "a.PNG", 40)
    save(root / "test" / "cat" / "a.png", 41)
    for name in ("README.md", "train/cat/.hidden.png", "__MACOSX/train/cat/1.png", "train/labels.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not a picture")
    return root


@pytest.mark.parametrize("pack", [Path, zipped])
def test_split_and_class_folders_are_read(folder, pack):
    data = build(pack(folder), num_validation=4)
    assert data.class_names == ("cat", "dog")
    assert data.num_classes == 2
    assert contents(data, "test") == [(40, 1), (41, 0)]
    train, validation = contents(data, "train"), contents(data, "validation")
    assert (len(train), len(validation)) == (16, 4)
    assert sorted(train + validation) == [(i, 0) for i in range(10)] + [(20 + i, 1) for i in range(10)]
    assert data.examples("train", 1).x.shape == (1, 3, 3, 4)


def test_colours_and_pixels_keep_their_places(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train" / "a.png")
    x = build(tmp_path, num_validation=0).examples("train", 1).x
    assert torch.equal((x[0] * 255).round().byte(), torch.from_numpy(pixels).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_pixels_are_those_of_pillow(tmp_path, mode):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = tmp_path / "a.jpeg"
    Image.fromarray(noise).convert(mode).save(path)
    channels = len(mode)
    x = build(tmp_path, shape=[channels, 8, 8], num_validation=0).examples("train", 1).x[0]
    expected = torch.from_numpy(np.array(Image.open(path))).reshape(8, 8, channels).permute(2, 0, 1)
    assert torch.equal((x * 255).round().byte(), expected)


@pytest.mark.parametrize("keep", [30, 300, -20])
def test_truncated_jpeg_is_named(tmp_path, refusal, keep):
    path = tmp_path / "a.jpg"
    save(path, 80)
    path.write_bytes(path.read_bytes()[:keep])
    message = refusal(lambda: build(tmp_path, num_validation=0).setup("fit"))
    assert message.startswith(f"data.path={tmp_path}: a.jpg is corrupt: ")


def test_drawn_validation_split_follows_the_split_seed(folder):
    draws = [
        contents(build(folder, num_validation=0.5, split_seed=s, seed=r), "validation")
        for s, r in ((0, 1), (0, 2), (1, 1))
    ]
    assert len(draws[0]) == 10
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("name", ["validation", "val", "valid", "Dev"])
def test_validation_folder_is_the_validation_split(folder, name):
    save(folder / name / "dog" / "v.png", 50)
    data = build(folder)
    assert contents(data, "validation") == [(50, 1)]
    assert len(contents(data, "train")) == 20


@pytest.mark.parametrize("pack", [Path, zipped])
@pytest.mark.parametrize("outer", [".", "training"])
@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("training", "TESTING")])
def test_split_folders_of_other_names_keep_test_pictures_from_training(tmp_path, pack, outer, train, test):
    root = tmp_path / "pets"
    save(root / outer / train / "cat" / "a.png", 1)
    save(root / outer / test / "cat" / "a.png", 2)
    data = build(pack(root), num_validation=0)
    assert data.class_names == ("cat",)
    assert (contents(data, "train"), contents(data, "test")) == ([(1, 0)], [(2, 0)])


@pytest.mark.parametrize("pack", [Path, zipped])
@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ("unlabelled/a.png", "unlabelled lies beside the split folders test, train, expected all pictures inside"),
        ("cover.png", "cover.png lies beside the split folders test, train, expected all pictures inside of those"),
        ("Training/a.png", "Training and train both mean the train split, expected one folder"),
    ],
)
def test_folders_beside_the_splits_are_refused(folder, refusal, pack, extra, what):
    save(folder / extra, 60)
    root = pack(folder)
    assert refusal(lambda: build(root).setup("fit")).startswith(f"data.path={root}: {what}")


def test_linked_folders_are_followed_but_not_in_circles(folder):
    save(folder.parent / "elsewhere" / "c.png", 70)
    (folder / "train" / "cow").symlink_to(folder.parent / "elsewhere", target_is_directory=True)
    (folder / "train" / "cat" / "back").symlink_to(folder / "train", target_is_directory=True)
    (folder / "train" / "itself").symlink_to("itself")
    data = build(folder, num_validation=0)
    assert data.class_names == ("cat", "cow", "dog")
    assert contents(data, "train") == [(i, 0) for i in range(10)] + [(20 + i, 2) for i in range(10)] + [(70, 1)]


def test_pictures_without_split_folders_are_drawn_into_three_splits(tmp_path):
    for i in range(20):
        save(tmp_path / "all" / ("b" if i % 2 else "a") / f"{i}.png", i)
    data = build(tmp_path, num_validation=3)
    splits = [contents(data, split) for split in SPLITS]
    assert [len(split) for split in splits] == [14, 3, 3]
    assert sorted(sum(splits, start=[])) == [(i, i % 2) for i in range(20)]  # noqa: RUF017
    assert data.class_names == ("a", "b")


def test_pictures_outside_of_folders_have_no_label(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png", i)
    data = build(tmp_path, num_validation=1)
    assert contents(data, "train")[0][1] == -1
    assert data.num_classes is None


def test_grey_pictures_have_one_channel(tmp_path):
    save(tmp_path / "train" / "a.png", 7, mode="L")
    assert contents(build(tmp_path, shape=[1, 3, 4], num_validation=0), "train") == [(7, -1)]


def test_resize_cuts_the_centre_and_converts(tmp_path):
    picture = np.full((6, 30), 90, np.uint8)
    picture[:, :11], picture[:, -11:] = 255, 0  # outside of the central 8×6
    (tmp_path / "train").mkdir()
    Image.fromarray(picture).save(tmp_path / "train" / "wide.png")
    save(tmp_path / "train" / "small.png", 30, size=(2, 2))
    data = build(tmp_path, resize=True, num_validation=0)
    assert contents(data, "train") == [(30, -1), (90, -1)]
    x = data.examples("train", 2).x
    assert torch.equal(x, x[:, :, :1, :1].expand_as(x))


def test_limit_decodes_no_more_than_it_keeps(folder):
    for path in (folder / "train").rglob("*.png"):
        path.write_bytes(b"broken")
    data = build(folder, num_validation=0, limit=1, split_seed=1)
    assert contents(data, "train")[0][1] == 1


def test_other_splits_are_not_decoded(folder):
    (folder / "test" / "cat" / "a.png").write_bytes(b"broken")
    build(folder).setup("fit")


@pytest.mark.parametrize("pack", [Path, zipped])
@pytest.mark.parametrize("keep", [0, 45])
def test_corrupt_picture_is_named(folder, refusal, pack, keep):
    path = folder / "test" / "cat" / "a.png"
    path.write_bytes(path.read_bytes()[:keep])
    root = pack(folder)
    assert refusal(lambda: build(root).setup("test")).startswith(f"data.path={root}: test/cat/a.png is corrupt: ")


@pytest.mark.parametrize(
    ("size", "mode", "what"),
    [((5, 3), "RGB", "5×3 with mode RGB"), ((4, 3), "L", "4×3 with mode L"), ((4, 3), "RGBA", "4×3 with mode RGBA")],
)
def test_picture_of_another_size_or_mode_is_named(folder, refusal, size, mode, what):
    save(folder / "test" / "cat" / "a.png", 1, size, mode)
    assert refusal(lambda: build(folder).setup("test")) == (
        f"data.path={folder}: test/cat/a.png is {what}, expected 4×3 with mode RGB for data.shape=[3, 3, 4]; "
        "data.resize=true converts"
    )


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize(("mode", "suffix"), [("I;16", "png"), ("I", "tif"), ("F", "tif")])
def test_picture_of_more_than_8_bits_is_named(tmp_path, refusal, resize, mode, suffix):
    Image.new(mode, (4, 3), 1000).save(tmp_path / f"a.{suffix}")
    assert refusal(lambda: build(tmp_path, shape=[1, 3, 4], resize=resize, num_validation=0).setup("fit")) == (
        f"data.path={tmp_path}: a.{suffix} is 4×3 with mode {mode}, "
        "expected an 8-bit picture with mode L for data.shape=[1, 3, 4]"
    )


@pytest.mark.parametrize(("flags", "what"), [(0x01, "is encrypted"), (0x41, "strong encryption")])
def test_encrypted_zip_member_is_named(folder, refusal, flags, what):
    path = zipped(folder)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start, count = archive.start_dir, len(archive.infolist())
    for _ in range(count):
        start = content.index(b"PK\x01\x02", start) + 8  # to the flags of this entry of the directory
        content[start] |= flags
    path.write_bytes(content)
    message = refusal(lambda: build(path).setup("test"))
    assert message.startswith(f"data.path={path}: test/")
    assert " can't be read: " in message
    assert what in message


def test_empty_path_is_not_the_current_folder(refusal):
    assert refusal(lambda: build("")) == "data.path=: expected a folder or a .zip file, and it is empty"


def test_wrong_paths_are_one_line_each(tmp_path, refusal):
    missing, text, empty = tmp_path / "missing", tmp_path / "notes.zip", tmp_path / "empty"
    text.write_text("no archive")
    empty.mkdir()
    (empty / "README.md").write_text("nothing here")
    assert refusal(lambda: build(missing).setup("fit")) == f"data.path={missing}: there is no such folder or .zip file"
    message = f"data.path={text}: expected a folder or a .zip file, and this file is neither"
    assert refusal(lambda: build(text).setup("fit")) == message
    message = refusal(lambda: build(empty).setup("fit"))
    assert message.startswith(f"data.path={empty}: there is no picture in it (.png, .jpg")
    assert message.endswith("only 1 other files")


def test_missing_splits_and_impossible_settings_are_refused(tmp_path, refusal):
    save(tmp_path / "train" / "a.png", 1)
    message = refusal(lambda: build(tmp_path, num_validation=0).setup("test"))
    assert message == f"data.path={tmp_path}: it has no pictures for the test split"
    message = refusal(lambda: build(tmp_path, num_validation=1).setup("fit"))
    assert message.startswith("data.num_validation=1: expected less than the 1 examples there are")
    message = refusal(lambda: build(tmp_path, shape=[2, 3, 4], num_validation=0).setup("fit"))
    assert message == "data.shape=[2, 3, 4]: expected [1, height, width] for grey or [3, height, width]"


@pytest.mark.slow
def test_cifar10_jpeg_zip_is_read_whole():
    path = ROOT.parent / "shared" / "data" / "cifar10-jpeg.zip"
    if not path.is_file():
        pytest.skip(f"no {path}")
    data = build(path, shape=[3, 32, 32])
    data.setup("fit")
    data.setup("test")
    assert data.split_sizes == {"train": 45_000, "validation": 5_000, "test": 10_000}
    assert data.examples("test", 10_000).label.bincount().tolist() == [1000] * 10
    # The mean of CIFAR-10's red, green and blue, as quoted everywhere.
    mean = data.examples("train", 45_000).x.mean(dim=(0, 2, 3))
    assert (mean - torch.tensor([0.4914, 0.4822, 0.4465])).abs().max() < 0.005


def test_protocol_names_the_folder(folder):
    assert build(folder).protocol()["path"] == str(folder)
