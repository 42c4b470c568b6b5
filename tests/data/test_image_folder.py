"""Folders and .zip files of images: splits, classes, and the messages for what can be wrong with them."""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import source

from pmodel.data import image_files
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
    return source("image_folder", **{"path": path, "shape": [3, 3, 4]} | settings)


def contents(data, split) -> list[tuple[int, int]]:
    """The level of the first channel, and the label, of each image of a split, sorted."""
    batch = data.examples(split, 1000)
    return sorted(zip((batch.x[:, 0, 0, 0] * 255).round().int().tolist(), batch.label.tolist(), strict=True))


def seen(data: ImageFolder) -> torch.Tensor:
    """The one image of a folder, (C, H, W), uint8."""
    return (data.examples("train", 1).x[0] * 255).round().byte()


@pytest.fixture
def folder(tmp_path) -> Path:
    """train/ and test/ with the classes cat and dog, and files that are no images."""
    root = tmp_path / "pets"
    for i in range(10):
        save(root / "train" / "cat" / f"{i}.png", i)
        save(root / "train" / "dog" / f"{i}.bmp", 20 + i)
    save(root / "test" / "dog" / "deeper" / "a.PNG", 40)
    save(root / "test" / "cat" / "a.png", 41)
    for name in ("README.md", "train/cat/.hidden.png", "__MACOSX/train/cat/1.png", "train/labels.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not an image")
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


@pytest.mark.parametrize("suffix", ["png", "jpeg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_are_those_of_pillow_at_their_places(tmp_path, mode, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).convert(mode).save(path)
    channels = len(mode)
    data = build(tmp_path, shape=[channels, 8, 6], num_validation=0)
    expected = torch.from_numpy(np.array(Image.open(path))).reshape(8, 6, channels).permute(2, 0, 1)
    assert torch.equal(seen(data), expected)


def test_drawn_validation_split_follows_the_split_seed(folder):
    seeds = ((0, 1), (0, 2), (1, 1))
    draws = [contents(build(folder, num_validation=0.5, split_seed=s, seed=r), "validation") for s, r in seeds]
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
def test_split_folders_of_other_names_keep_test_images_from_training(tmp_path, pack, outer, train, test):
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
        ("unlabelled/a.png", "unlabelled lies beside the split folders test, train, expected all images inside"),
        ("cover.png", "cover.png lies beside the split folders test, train, expected all images inside of those"),
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


def test_images_without_split_folders_are_drawn_into_three_splits(tmp_path):
    for i in range(20):
        save(tmp_path / "all" / ("b" if i % 2 else "a") / f"{i}.png", i)
    data = build(tmp_path, num_validation=3)
    splits = [contents(data, split) for split in SPLITS]
    assert [len(split) for split in splits] == [14, 3, 3]
    assert sorted(sum(splits, start=[])) == [(i, i % 2) for i in range(20)]  # noqa: RUF017
    assert data.class_names == ("a", "b")


def test_images_outside_of_folders_have_no_label(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png", i)
    data = build(tmp_path, num_validation=1)
    assert contents(data, "train")[0][1] == -1
    assert data.num_classes is None


def test_resize_cuts_the_centre_and_converts(tmp_path):
    image = np.full((6, 30), 90, np.uint8)
    image[:, :11], image[:, -11:] = 255, 0  # outside of the central 8×6
    (tmp_path / "train").mkdir()
    Image.fromarray(image).save(tmp_path / "train" / "wide.png")
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
@pytest.mark.parametrize(("suffix", "keep"), [("png", 0), ("png", 45), ("jpg", 30), ("jpg", 300), ("jpg", -20)])
def test_corrupt_image_is_named(folder, refusal, pack, suffix, keep):
    path = folder / "test" / "cat" / f"b.{suffix}"
    save(path, 80)
    path.write_bytes(path.read_bytes()[:keep])
    root = pack(folder)
    assert refusal(lambda: build(root).setup("test")).startswith(
        f"data.path={root}: test/cat/{path.name} can't be read: "
    )


@pytest.mark.parametrize(
    ("size", "mode", "what"),
    [((5, 3), "RGB", "5×3 with mode RGB"), ((4, 3), "L", "4×3 with mode L"), ((4, 3), "RGBA", "4×3 with mode RGBA")],
)
def test_image_of_another_size_or_mode_is_named(folder, refusal, size, mode, what):
    save(folder / "test" / "cat" / "a.png", 1, size, mode)
    assert refusal(lambda: build(folder, resize=False).setup("test")) == (
        f"data.path={folder}: test/cat/a.png is {what}, expected 4×3 with mode RGB for data.shape=[3, 3, 4]; "
        "data.resize=true converts"
    )


@pytest.mark.parametrize(("mode", "suffix"), [("I;16", "png"), ("I;16B", "tif"), ("I", "tif")])
def test_16_bits_are_scaled_by_the_range_of_the_format(tmp_path, mode, suffix):
    values = np.array([[0, 128, 129, 300], [32768, 1000, 65406, 65407], [1, 2, 3, 65535]])
    image = Image.fromarray(values.astype({"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]))
    assert image.mode == mode
    image.save(tmp_path / f"a.{suffix}")
    data = build(tmp_path, shape=[1, 3, 4], num_validation=0)
    assert seen(data)[0].tolist() == [[0, 0, 1, 1], [128, 4, 254, 255], [0, 0, 0, 255]]
    assert data.notes == ["1 of 1 images: scaled from 16 bits to 8"]


@pytest.mark.parametrize(("mode", "low", "high"), [("F", "0.5", "0.5"), ("I", "-3", "-3"), ("I", "65536", "65536")])
def test_values_whose_range_nobody_knows_are_refused(tmp_path, refusal, mode, low, high):
    Image.new(mode, (4, 3), float(low) if mode == "F" else int(low)).save(tmp_path / "a.tif")
    assert refusal(lambda: build(tmp_path, shape=[1, 3, 4], num_validation=0).setup("fit")) == (
        f"data.path={tmp_path}: a.tif has mode {mode} with values from {low} to {high}, expected 8 bits, or 16 bits"
        " from 0 to 65535"
    )


def test_encrypted_zip_member_is_named(folder, refusal):
    path = zipped(folder)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start, count = archive.start_dir, len(archive.infolist())
    for _ in range(count):
        start = content.index(b"PK\x01\x02", start) + 8  # to the flags of this entry of the directory
        content[start] |= 1
    path.write_bytes(content)
    message = refusal(lambda: build(path).setup("test"))
    assert message.startswith(f"data.path={path}: test/")
    assert " can't be read: " in message
    assert "is encrypted" in message


def test_wrong_paths_are_one_line_each(tmp_path, refusal):
    for path, content in {"notes.zip": "no archive", "empty/README.md": "nothing here"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    for path, what in {
        "": "expected a text that is not empty",  # and not the current folder
        tmp_path / "missing": "expected a folder or a .zip file",
        tmp_path / "notes.zip": "expected a folder or a .zip file",
        tmp_path / "empty": "there is no image in it; files left out: 1, such as .md (1)",
    }.items():
        assert refusal(lambda path=path: build(path).setup("fit")) == f"data.path={path}: {what}"


def test_shapes_of_no_image_are_refused(tmp_path, refusal):
    save(tmp_path / "train" / "a.png", 1)
    message = refusal(lambda: build(tmp_path, shape=[2, 3, 4], num_validation=0).setup("fit"))
    assert message == "data.shape=[2, 3, 4]: expected [1, height, width] for grey or [3, height, width]"


# How an image is stored that an orientation turns upright: the inverse of each tag's transposition.
STORED = {
    1: None,
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_90",
    7: "TRANSVERSE",
    8: "ROTATE_270",
}


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("tag", STORED)
def test_an_image_looks_the_same_under_each_exif_orientation(tmp_path, tag, suffix, resize):
    # Each quarter has its own colour, so large that a JPEG keeps it.
    quarters = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]]], np.uint8)
    pixels = np.kron(quarters, np.ones((16, 32, 1), np.uint8))
    image = Image.fromarray(pixels)
    stored = image if STORED[tag] is None else image.transpose(Image.Transpose[STORED[tag]])
    exif = Image.Exif()
    exif[0x0112] = tag
    settings = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **settings)
    data = build(tmp_path, shape=[3, 32, 64], num_validation=0, resize=resize)
    expected = torch.from_numpy(pixels).permute(2, 0, 1)
    assert (seen(data).int() - expected).abs().max() <= (3 if suffix == "jpg" else 0)


def test_a_broken_exif_header_turns_nothing(tmp_path):
    Image.new("RGB", (4, 3), (9, 9, 9)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*broken")
    assert build(tmp_path, num_validation=0).examples("train", 1).x.shape == (1, 3, 3, 4)


def transparent(mode: str) -> Image.Image:
    """8×8 pixels, the left half black ink, on a transparent ground whose hidden colour is green or a grey."""
    alpha = Image.new("L", (8, 8), 0)
    alpha.paste(255, (0, 0, 4, 8))
    if mode.endswith("tRNS"):
        name = mode.removesuffix(" tRNS")
        ink, ground = {"L": (0, 7), "RGB": ((0, 0, 0), (0, 200, 0)), "P": (0, 1)}[name]
        image = Image.new(name, (8, 8), ground)
        if name == "P":
            image.putpalette([0, 0, 0, 0, 200, 0])
        image.paste(ink, (0, 0, 4, 8))
        image.info["transparency"] = ground
        return image
    image = Image.merge("RGBA", [Image.new("L", (8, 8), level) for level in (0, 200, 0)] + [alpha])
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    return image.convert(mode)


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0), (90, 90)])
@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *((mode, "png") for mode in ("RGBA", "LA", "L tRNS", "RGB tRNS", "P tRNS")),
        *(("RGBA", suffix) for suffix in ("webp", "tif", "ico")),
        *((mode, "gif") for mode in ("RGBA", "P tRNS")),
    ],
)
def test_transparent_parts_show_the_background_and_no_hidden_colour(tmp_path, mode, suffix, background, level):
    settings = {"lossless": True, "exact": True} if suffix == "webp" else {}
    transparent(mode).save(tmp_path / f"a.{suffix}", **settings)
    x = seen(build(tmp_path, shape=[3, 8, 8], num_validation=0, background=background))
    assert x[:, :, :4].unique().tolist() == [0]
    assert x[:, :, 4:].unique().tolist() == [level]
    # Nor through resizing, which mixes neighbours: all grey levels lie between ink and background.
    small = build(tmp_path, shape=[3, 3, 3], num_validation=0, background=background)
    x = seen(small).int()
    assert (x - x[:1]).abs().max() == 0
    assert (x[:, :, -1] - level).abs().max() <= 15
    assert f"1 of 1 images: transparent in parts, and laid on {background} (data.background)" in small.notes


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA"])
def test_transparent_modes_that_no_file_has_are_laid_on_the_background(mode):
    image = transparent("RGBA").convert("LA" if mode == "La" else "RGBA").convert(mode)
    laid, shows = image_files._laid_on(image, "white")
    assert shows
    assert np.unique(np.asarray(laid)[:, :4]).tolist() == [0]
    assert np.unique(np.asarray(laid)[:, 4:]).tolist() == [255]


def png(depth: int, row: bytes, transparency: bytes, width: int) -> bytes:
    """A grey PNG file of one row, which Pillow can't write itself."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, 1, depth, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tRNS", transparency), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(2, bytes([0b00011011]), struct.pack(">H", 1), 4), [0, 255, 170, 255]),
        (png(4, bytes([0x05, 0xA0]), struct.pack(">H", 5), 4), [0, 255, 170, 0]),
        (png(16, struct.pack(">4H", 0, 5, 6, 65535), struct.pack(">H", 5), 4), [0, 255, 0, 255]),
    ],
    ids=["2 bits", "4 bits", "16 bits"],
)
def test_one_transparent_value_of_a_grey_png_means_it_at_any_depth(tmp_path, content, expected):
    (tmp_path / "a.png").write_bytes(content)
    assert seen(build(tmp_path, shape=[1, 1, 4], num_validation=0))[0, 0].tolist() == expected


def test_transparency_that_is_no_mode_is_refused_without_resizing(tmp_path, refusal):
    transparent("RGB tRNS").save(tmp_path / "a.png")
    message = refusal(lambda: build(tmp_path, shape=[3, 8, 8], num_validation=0, resize=False).setup("fit"))
    assert "a.png is 8×8 with mode RGB and transparency, expected 8×8 with mode RGB" in message


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "LAB", "HSV", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_rgb(mode, channels):
    grey = Image.new("I;16", (4, 3), 65535) if mode == "I;16" else None
    image = grey or (Image.new("LAB", (4, 3), (255, 128, 128)) if mode == "LAB" else Image.new("RGB", (4, 3), "white"))
    reader = image_files.ImageReader([channels, 3, 4], True, "white", "data.path=x")
    reader._opened = lambda name, content: image if mode in ("I;16", "LAB") else image.convert(mode)
    x = reader.read(["a"], lambda name: b"")
    assert x.shape == (1, channels, 3, 4)
    assert abs(x.astype(int) - 255).max() <= 1


def test_what_pillow_reads_is_read_and_what_was_left_out_is_said(tmp_path):
    for i, suffix in enumerate(("png", "jfif", "webp", "tif", "bmp", "JPG", "tga", "pgm", "jp2", "ico", "qoi", "dds")):
        save(tmp_path / f"{i}.{suffix}", 9)
    for i in range(12):
        (tmp_path / f"{i}.heic").write_text("x")
        (tmp_path / f"{i}.TXT").write_text("x")
    for name in ("drawing.eps", "film.mpg", "text.pdf", "LICENSE"):
        (tmp_path / name).write_text("x")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    data = build(tmp_path, num_validation=0)
    assert len(data.examples("train", 20).x) == 12
    assert data.notes[0] == (
        "files left out: 28, such as .heic (12), .txt (12), .eps (1), .mpg (1), .pdf (1), without a suffix (1)"
    )


def test_postscript_under_another_name_starts_no_program(tmp_path, refusal):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n%%EndComments\n")
    message = refusal(lambda: build(tmp_path, num_validation=0).setup("fit"))
    assert message == f"data.path={tmp_path}: a.png can't be read: not an image"


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_of_several_images_in_a_file_the_first_is_read(tmp_path, suffix):
    first, *others = [Image.new("RGB", (4, 3), (level,) * 3) for level in (40, 90, 200)]
    settings = {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others, **settings)
    data = build(tmp_path, num_validation=0)
    assert seen(data).unique().tolist() == [40]
    assert data.notes == ["1 of 1 images: the first one of several in a file"]


def test_resizing_and_the_sizes_are_said(tmp_path):
    for i in range(2):
        save(tmp_path / "train" / f"{i}.png", 1, size=(40, 30))
    save(tmp_path / "train" / "large.png", 1, size=(80, 60))
    save(tmp_path / "val" / "same.png", 1)
    data = build(tmp_path)
    data.setup("fit")
    assert data.notes == ["images of 3 sizes, from 4×3 to 80×60", "3 of 4 images: resized to 4×3"]
    save(tmp_path / "val" / "same.png", 1, size=(9, 3))
    data = build(tmp_path)
    data.setup("fit")
    assert data.notes[1:] == ["1 of 4 images: cut centrally and resized to 4×3", "3 of 4 images: resized to 4×3"]


@pytest.mark.parametrize("folders", ["{i}", "{i}/x", "all/{i}", "train/{i}", "train/x/{i}"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_two_or_three_images(tmp_path, refusal, folders, count):
    for i in range(count):
        save(tmp_path / (folders.format(i=i) + ".png"), i)
    splits = 2 if folders.startswith("train") else 3
    if count < splits:
        for num_validation in (0.1, 1):
            message = refusal(lambda n=num_validation: build(tmp_path, num_validation=n).setup("fit"))
            assert message.startswith(
                f"data.path={tmp_path}: data.num_validation={num_validation} takes 1 of {count} images for validation"
            )
    else:
        data = build(tmp_path)
        data.setup("fit")
        assert data.split_sizes == {"train": count - splits + 1, "validation": 1}
        assert len(contents(build(tmp_path, limit=1), "train")) == 1
    data = build(tmp_path, num_validation=0)
    data.setup("fit")
    assert data.split_sizes == {"train": count, "validation": 0}
    message = f"data.path={tmp_path}: it has no images for the test split"
    assert refusal(lambda: data.setup("test")) == message


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
