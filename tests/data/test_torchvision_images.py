"""The real file formats, in small, and the messages for what can be wrong with them."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import source

from pmodel.data.base import SPLITS
from pmodel.data.torchvision_images import CIFAR10, MNIST

TRAIN_IMAGES = "MNIST/raw/train-images-idx3-ubyte"


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def idx_dir(tmp_path) -> Path:
    """12 training and 5 test images of MNIST's and Fashion-MNIST's format; all pixels of an image are its number."""
    for name in ("MNIST", "FashionMNIST"):
        for part, count in (("train", 12), ("t10k", 5)):
            number = np.arange(count)
            images = np.broadcast_to(number[:, None, None], (count, 28, 28))
            write_idx(tmp_path / name / "raw" / f"{part}-images-idx3-ubyte", images)
            write_idx(tmp_path / name / "raw" / f"{part}-labels-idx1-ubyte", number % 10)
    return tmp_path


def mnist(data_dir, option="mnist", **settings) -> MNIST:
    return source(option, **{"num_validation": 4, "data_dir": data_dir} | settings)


def numbers(data, split) -> list[int]:
    return sorted(round(255 * x.item()) for x in data.examples(split, 100).x[:, 0, 0, 0])


@pytest.mark.parametrize("option", ["mnist", "fashion_mnist"])
def test_validation_is_the_end_of_the_training_file(idx_dir, option):
    data = mnist(idx_dir, option)
    data.download = False
    data.prepare_data()
    assert [numbers(data, split) for split in SPLITS] == [list(range(8)), [8, 9, 10, 11], list(range(5))]
    assert numbers(mnist(idx_dir, option, num_validation=0), "train") == list(range(12))
    assert mnist(idx_dir, option, num_validation=0).val_dataloader() == []


def test_idx_files_are_read_as_torchvision_reads_them(idx_dir):
    import torchvision

    theirs = torchvision.datasets.MNIST(idx_dir, train=False)
    ours, label = mnist(idx_dir).load("test")
    assert torch.equal(ours[label.argsort(), 0], theirs.data)
    assert torch.equal(label.sort().values, theirs.targets)


@pytest.mark.parametrize("content", [None, b"", b"<html>not found</html>", bytes([0, 0, 8, 1, 0, 0, 0, 0])])
def test_a_file_that_is_cut_or_of_another_format_is_named(idx_dir, refusal, content):
    path = idx_dir / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    assert refusal(lambda: mnist(idx_dir).setup("fit")) == (
        f"data=mnist: {path} is truncated or corrupt: expected an IDX file of bytes in 3 dimensions, as many as its"
        " header says"
    )


def test_labels_of_another_count_are_refused(idx_dir, refusal):
    path = idx_dir / "MNIST/raw/train-labels-idx1-ubyte"
    write_idx(path, np.zeros(11))
    assert refusal(lambda: mnist(idx_dir).setup("fit")) == f"data=mnist: {path} has 11 labels of 12 images"


def test_missing_files_and_a_failed_download_are_one_line(tmp_path, refusal, monkeypatch):
    import torchvision

    start = f"data=mnist: not found in data_dir={tmp_path} (expected {tmp_path / TRAIN_IMAGES})"
    advice = "; set data_dir to a folder that has it"
    assert refusal(lambda: mnist(tmp_path).setup("test")) == start + advice
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    message = refusal(mnist(tmp_path).prepare_data)
    assert message.startswith(f"{start}, and the download failed: ")
    assert message.endswith(f"Connection refused>{advice}")


@pytest.fixture
def cifar_dir(tmp_path) -> Path:
    """Two images in each of CIFAR-10's six files; the first value of an image is its number."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        images = np.arange(2 * 3072).reshape(2, 3072) % 251
        images[:, 0] = [2 * i, 2 * i + 1]
        entry = {"data": images.astype(np.uint8), "labels": [2 * i % 10, (2 * i + 1) % 10], "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(entry, protocol=2))
    return tmp_path


def cifar(data_dir, **settings) -> CIFAR10:
    return source("cifar10", **{"num_validation": 3} | settings, data_dir=data_dir)


def test_cifar_files_are_read_into_splits(cifar_dir):
    data = cifar(cifar_dir)
    data.prepare_data()
    assert [numbers(data, split) for split in SPLITS] == [list(range(7)), [7, 8, 9], [10, 11]]
    batch = data.examples("train", 1)
    assert round(255 * batch.x[0, 0, 0, 0].item()) == batch.label[0]
    assert (batch.x[0] * 255).round()[1, 0, 1] == (1024 + 1) % 251 + (
        0 if batch.label[0] % 2 == 0 else 3072 % 251
    ) % 251


def test_truncated_and_foreign_pickles_are_named(cifar_dir, refusal):
    path = cifar_dir / "cifar-10-batches-py" / "data_batch_3"
    whole = path.read_bytes()
    for content in (whole[:500], b"", b"\x80\x02}q\x00.", pickle.dumps([1]), b"garbage"):
        path.write_bytes(content)
        message = refusal(lambda: cifar(cifar_dir).setup("fit"))
        assert message.startswith(f"data=cifar10: {path} is truncated or corrupt: ")


def test_pickle_that_would_run_code_is_refused(cifar_dir, refusal):
    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    path = cifar_dir / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps(Evil()))
    message = refusal(lambda: cifar(cifar_dir).setup("test"))
    assert message == f"data=cifar10: {path} is truncated or corrupt: it contains builtins.print"


@pytest.fixture
def celeba_dir(tmp_path) -> Path:
    """Six faces of CelebA's size: grey but for a coloured border above and below, which the central cut removes."""
    folder = tmp_path / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    rows = []
    for i in range(6):
        image = np.full((218, 178, 3), 40 * i, np.uint8)
        image[:15], image[-15:] = (255, 0, 0), (255, 0, 0)
        Image.fromarray(image).save(folder / f"{i:06d}.jpg", quality=95)
        rows.append(f"{i:06d}.jpg {(0, 0, 0, 1, 2, 2)[i]}")
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_celeba_is_cut_and_resized_and_keeps_its_official_splits(celeba_dir, storage):
    data = source("celeba", shape=[3, 16, 16], data_dir=celeba_dir, storage=storage)
    data.prepare_data()
    expected = {"train": [0, 40, 80], "validation": [120], "test": [160, 200]}
    for split, greys in expected.items():
        batch = data.examples(split, 10)
        assert batch.x.shape[1:] == (3, 16, 16)
        assert batch.label.unique().tolist() == [-1]
        means = (batch.x * 255).flatten(1).mean(1).sort().values
        assert (means - torch.tensor(greys)).abs().max() < 3
        assert batch.x.flatten(1).std(1).max() < 0.02
    assert data.num_classes is None


def test_corrupt_face_and_partition_are_named(celeba_dir, refusal):
    def build():
        return source("celeba", shape=[3, 16, 16], data_dir=celeba_dir)

    face = celeba_dir / "celeba" / "img_align_celeba" / "000003.jpg"
    face.write_bytes(face.read_bytes()[:300])
    assert refusal(lambda: build().setup("validate")).startswith(f"data=celeba: {face} can't be read: ")
    partition = celeba_dir / "celeba" / "list_eval_partition.txt"
    partition.write_text("000001.jpg\n")
    message = f"data=celeba: {partition} is corrupt: expected lines such as '000001.jpg 0'"
    assert refusal(lambda: build().setup("test")) == message


@pytest.mark.mnist
def test_real_mnist_has_its_splits_and_its_mean(data_dir):
    data = mnist(data_dir, num_validation=10_000)
    data.setup("fit")
    data.setup("test")
    assert data.split_sizes == {"train": 50_000, "validation": 10_000, "test": 10_000}
    parts = [data.examples(split, 60_000) for split in ("train", "validation")]
    # The mean and standard deviation that are quoted everywhere for the 60,000 training images.
    mean, square = (
        sum(len(part.x) * part.x.pow(power).mean(dtype=torch.float64) for part in parts) / 60_000 for power in (1, 2)
    )
    assert mean == pytest.approx(0.1307, abs=1e-4)
    assert (square - mean**2).sqrt() == pytest.approx(0.3081, abs=1e-4)
    assert torch.cat([part.label for part in parts]).bincount()[:3].tolist() == [5923, 6742, 5958]
