"""Data sets that torchvision downloads: MNIST, Fashion-MNIST, CIFAR-10 and CelebA.

The files are read here, from where torchvision puts them; torchvision is imported only to download.
"""

import pickle
import struct
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from pmodel.data.base import SPLITS, Split, Stored
from pmodel.data.image_files import Done, ImageReader, version
from pmodel.data.images import SHARDS, ImageDataModule, Storage
from pmodel.data.shards import key_of
from pmodel.files.foreign import regular
from pmodel.files.printable import first_line

_ADVICE = "set data_dir to a folder that has it"


class TorchvisionImages(ImageDataModule):
    """Images under `data_dir`, downloaded on first use.

    A source names the files it reads, relative to `data_dir`, and its class in torchvision. Of a training file, the
    last `num_validation` images are the validation split; 0 gives all to training.
    """

    torchvision_class: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    download = True  # False: only what is there is read

    def __init__(self, data_dir: str, **common: Any) -> None:
        super().__init__(**common)
        self.data_dir = Path(data_dir).expanduser()
        self.shards_dir = self.data_dir / SHARDS

    def prepare_data(self) -> None:
        """Downloads what is missing.

        Raises:
            ValueError: if a file is missing and the download fails, or may not be tried.
        """
        not_found = self._not_found()
        if not_found is None:
            return
        if not self.download:
            raise ValueError(f"{not_found}; type data_dir=… for it to be downloaded there")
        import torchvision

        try:
            getattr(torchvision.datasets, self.torchvision_class)(self.data_dir, download=True)
        except (OSError, RuntimeError, HTTPException) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise ValueError(f"{not_found}, and the download failed: {reason}; {_ADVICE}") from error

    def _not_found(self) -> str | None:
        """Which file is not there; None if all are."""
        missing = next((path for name in self.files if not (path := self.data_dir / name).exists()), None)
        return missing and f"data={self.source}: not found in data_dir={self.data_dir} (expected {missing})"

    def _paths(self) -> list[Path]:
        """Where the files are.

        Raises:
            ValueError: if one is missing.
        """
        if not_found := self._not_found():
            raise ValueError(f"{not_found}; {_ADVICE}")
        return [self.data_dir / name for name in self.files]


class MNIST(TorchvisionImages):
    """70,000 handwritten digits, 28×28, 256 levels, 60,000 of them for training (LeCun, Cortes, Burges, 1998)."""

    source = "mnist"
    torchvision_class = "MNIST"
    class_names = tuple("0123456789")
    files = tuple(
        f"MNIST/raw/{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
    )

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        images, labels = self._paths()[2:] if split == "test" else self._paths()[:2]
        x = read_idx(images, dims=3, source=self.source).unsqueeze(1)
        label = read_idx(labels, dims=1, source=self.source).long()
        if len(x) != len(label):
            raise ValueError(f"data={self.source}: {labels} has {len(label)} labels of {len(x)} images")
        return self.carved(split, x, label, len(x) if split == "test" else 0)


class FashionMNIST(MNIST):
    """70,000 images of clothes in MNIST's format, 60,000 of them for training (Xiao, Rasul, Vollgraf, 2017, arXiv
    1708.07747)."""

    source = "fashion_mnist"
    torchvision_class = "FashionMNIST"
    class_names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    files = tuple(name.replace("MNIST/", "FashionMNIST/") for name in MNIST.files)


class CIFAR10(TorchvisionImages):
    """60,000 colour images of ten classes, 32×32, 256 levels, 50,000 of them for training (Krizhevsky, 2009)."""

    source = "cifar10"
    torchvision_class = "CIFAR10"
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    files = (*(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)), "cifar-10-batches-py/test_batch")

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        paths = self._paths()[5:] if split == "test" else self._paths()[:5]
        x, label = map(torch.cat, zip(*(read_cifar_batch(path, self.source) for path in paths), strict=True))
        return self.carved(split, x, label, len(x) if split == "test" else 0)


class CelebA(TorchvisionImages):
    """202,599 aligned faces (Liu, Luo, Wang, Tang: Deep learning face attributes in the wild, 2015, arXiv 1411.7766).

    Cut centrally to the proportions of `shape`, and resized. The splits are the official ones; there are no labels.
    """

    source = "celeba"
    torchvision_class = "CelebA"
    files = ("celeba/list_eval_partition.txt", "celeba/img_align_celeba")

    def __init__(self, storage: Storage = "memory", **common: Any) -> None:
        super().__init__(**common)
        self.storage = storage
        if self.num_validation:
            raise ValueError(
                f"data.num_validation={self.num_validation}: expected 0, since data=celeba has its own splits"
            )

    def load(self, split: Split) -> Stored:
        names = [name for name, part in self._listing() if part == str(SPLITS.index(split))]
        return self._faces([names[i] for i in self.kept(split, len(names))])

    def load_all(self) -> Stored:
        return self._faces(self.names())

    def names(self) -> list[str]:
        return [name for name, _ in self._listing()]

    def _listing(self) -> list[list[str]]:
        """Each image's name, and the number of its split."""
        partition = self._paths()[0]
        rows = [line.split() for line in regular(partition).read_text(encoding="utf-8").splitlines() if line.strip()]
        if any(len(row) != 2 or row[1] not in "012" for row in rows):
            raise ValueError(f"data={self.source}: {partition} is corrupt: expected lines such as '000001.jpg 0'")
        return rows

    def _faces(self, names: list[str]) -> Stored:
        folder = self._paths()[1]
        reader = ImageReader(self.shape, resize=True, background="white", place=f"data={self.source}")
        rows = reader.rows([str(folder / name) for name in names], lambda path: regular(Path(path)).read_bytes())
        versions = (version(folder / name) for name in names)
        x, done = self.held(rows, lambda: key_of(list(self.shape), files=versions), "reading images")
        self.notes = Done.total(done).lines()
        return x, torch.full((len(x),), -1)


def read_idx(path: Path, dims: int, source: str) -> Tensor:
    """The uint8 array in an IDX file, the format of MNIST: magic number, sizes as big-endian int32, then the bytes.

    Raises:
        ValueError: if the file is not such an array, or does not hold as many bytes as its header says.
    """
    try:
        content = bytearray(regular(path).read_bytes())
    except OSError as error:
        raise ValueError(f"data={source}: {path} can't be read: {error.strerror}") from error
    start = 4 + 4 * dims
    is_idx = len(content) >= start and content[:4] == bytes([0, 0, 8, dims])
    sizes = struct.unpack(f">{dims}i", content[4:start]) if is_idx else None
    if sizes is None or len(content) != start + torch.Size(sizes).numel():
        raise ValueError(
            f"data={source}: {path} is truncated or corrupt: expected an IDX file of bytes in {dims} dimensions, as"
            " many as its header says"
        )
    return torch.frombuffer(content, dtype=torch.uint8)[start:].reshape(sizes)


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles NumPy arrays in plain containers and nothing else, so that a data file can't run code."""

    _ALLOWED = ("_reconstruct", "ndarray", "dtype", "encode")

    def find_class(self, module: str, name: str) -> Any:
        if name not in self._ALLOWED or module.split(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(f"it contains {module}.{name}")
        # NumPy 2 moved numpy.core, which the original files name.
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


# What reading a damaged pickle raises, besides what its entries do that are no arrays.
_DAMAGED = (OSError, pickle.UnpicklingError, EOFError, LookupError, AttributeError, ImportError)


def read_cifar_batch(path: Path, source: str) -> tuple[Tensor, Tensor]:
    """The images (N, 3, 32, 32), uint8, and classes (N,), int64, of a CIFAR-10 batch file, a pickle.

    Raises:
        ValueError: if the file is not one.
    """
    try:
        with regular(path).open("rb") as file:
            entry = _ArrayUnpickler(file, encoding="latin1").load()
        x, label = torch.from_numpy(entry["data"]), torch.tensor(entry["labels"], dtype=torch.int64)
        return x.reshape(len(label), 3, 32, 32), label
    except (*_DAMAGED, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"data={source}: {path} is truncated or corrupt: {first_line(error)}") from error
