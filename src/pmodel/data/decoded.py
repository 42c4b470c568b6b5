"""What the sources of image files share: they decode them once, and hold them in memory or in shards."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from pmodel.data.base import Split, Stored
from pmodel.data.image_files import Background, Done, ImageReader
from pmodel.data.images import SHARDS, ImageDataModule, Storage
from pmodel.data.shards import Shards


class DecodedImages(ImageDataModule):
    """Images of any size and mode, as their files have them, decoded to one shape.

    resize: cuts images of other sizes centrally to the proportions of `shape`, resizes and converts them; false:
        each image must have this size and mode
    background: what shows where an image is transparent: white, black or a grey level
    storage: where the decoded images are held: in memory, or on disk, in shards below `data_dir`; auto: in memory, if
        those of a split take up to 256 MiB there. Runs that were saved before there was a choice hold them in memory

    A source says by which setting it was typed, `place`, and implements `positions` and `images`.
    """

    place: str

    def __init__(
        self,
        resize: bool,
        background: Background,
        storage: Storage = "memory",
        data_dir: str = "data",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.resize, self.background, self.storage = resize, background, storage
        self.shards_dir = Path(data_dir).expanduser() / SHARDS
        self._done = Done()

    def positions(self, split: Split) -> Tensor:
        """Where a split's images are among all of the source, (N,), int64."""
        raise NotImplementedError

    def images(self, positions: Tensor, split: str) -> Stored:
        """The images at positions (N,), int64, and their labels."""
        raise NotImplementedError

    def decoded(self, names: Sequence[Any], content: Callable[[Any], bytes], key: Callable[[], str]) -> Tensor | Shards:
        """Images (N, C, H, W), uint8, of files by their names; what that took stands in `notes`.

        content: the bytes of a file
        key: what the shards depend on, see `ImageDataModule.held`
        """
        reader = ImageReader(self.shape, self.resize, self.background, self.place)
        x, done = self.held(reader.rows(names, content), key, "reading images")
        self._done += Done.total(done)
        self.notes = self._done.lines()
        return x

    def size(self, split: Split) -> int | None:
        if split in self.split_sizes:
            return self.split_sizes[split]
        return len(self.positions(split)[: self.limit])

    def protocol(self) -> dict[str, Any]:
        return {**super().protocol(), "resize": self.resize, "background": self.background}

    def load(self, split: Split) -> Stored:
        positions = self.positions(split)
        if not len(positions) and split != "validation":
            raise ValueError(f"{self.place}: it has no images for the {split} split")
        return self.images(positions[self.kept(split, len(positions))], split)
