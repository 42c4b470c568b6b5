"""Decodes image files into uint8 tensors of one shape, and counts what that took."""

import io
import math
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from pmodel.data.shards import Rows
from pmodel.files.printable import first_line

if TYPE_CHECKING:
    from PIL.Image import Image

Background = Literal["white", "black"] | Annotated[int, Ge(0), Le(255)]

# What Pillow knows and no image can be read from: it recognizes the first five without decoding them, and starts
# another program for EPS; FITS holds measurements, which have no black and no white.
NOT_IMAGES = ("BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS", "FITS", "IPTC")
_MODES = {1: "L", 3: "RGB"}
# What decoders raise for a file that is cut or damaged, and an archive for one that is encrypted.
_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, AssertionError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)
# Pillow multiplies the values of such PNG files by this, but not the one among them that means transparent.
_TO_BYTES = {"L;2": 85, "L;4": 17}


@cache
def image_suffixes() -> tuple[str, ...]:
    """How the names of image files end, in lower case: of all formats that this Pillow reads."""
    from PIL import Image

    known = {*_formats(), "MPO"}  # an .mpo is opened as the JPEG that it begins with
    return tuple(sorted(suffix for suffix, name in Image.registered_extensions().items() if name in known))


@cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in NOT_IMAGES)


@dataclass
class Done:
    """What was done to images.

    count: how many they are
    sizes: width and height of each, as they are seen
    changes: what was done to how many of them
    """

    count: int = 0
    sizes: set[tuple[int, int]] = field(default_factory=set)
    changes: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Done") -> "Done":
        return Done(self.count + other.count, self.sizes | other.sizes, self.changes + other.changes)

    def lines(self) -> list[str]:
        """A line each, for the user."""
        sizes = sorted(self.sizes, key=lambda size: (math.prod(size), size))
        lines = [f"{count:,} of {self.count:,} images: {what}" for what, count in sorted(self.changes.items())]
        if len(sizes) < 2:
            return lines
        return [f"images of {len(sizes):,} sizes, from {_times(sizes[0])} to {_times(sizes[-1])}", *lines]

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return {"count": self.count, "sizes": sorted(self.sizes), "changes": dict(self.changes)}

    @classmethod
    def total(cls, plain: Iterable[dict[str, Any]]) -> "Done":
        """Of all that `plain` gave."""
        each = (cls(p["count"], set(map(tuple, p["sizes"])), Counter(p["changes"])) for p in plain)
        return sum(each, cls())


def version(file: Path) -> list[Any]:
    """What tells a file from one that was at its place before: its path, size and time."""
    about = file.stat()
    return [str(file.absolute()), about.st_size, about.st_mtime_ns]


class ImageReader:
    """Reads files into images (n, C, H, W), uint8.

    Each image is turned as its EXIF orientation says. With `resize`, what is transparent shows `background`, 16 bits
    are scaled to 8, and any mode becomes grey or RGB; then the image is cut centrally to the proportions of `shape`,
    and resized (Lanczos). Of a file that holds several images, the first one is taken.

    shape: [C, H, W]; grey for C = 1, RGB for C = 3
    resize: false refuses what has not the size and the mode of `shape` already
    background: white, black or a grey level
    place: the setting that says where the files are; begins each message
    """

    def __init__(self, shape: Sequence[int], resize: bool, background: Background, place: str):
        self.shape, self.resize, self.place = tuple(shape), resize, place
        self.background = background
        self._seen: list[tuple[tuple[int, int], list[str]]] = []

    def rows(self, names: Sequence[str], content: Callable[[str], bytes]) -> Rows:
        """The images of all of `names`, still to be read; what is noted is `Done.plain` of them."""

        def read(first: int, last: int) -> np.ndarray:
            return self.read(names[first:last], content)

        return Rows((len(names), *self.shape), np.uint8, read, lambda: self.done().plain())

    def read(self, names: Sequence[str], content: Callable[[str], bytes]) -> np.ndarray:
        """The images (n, C, H, W), uint8, in the order of `names`; `content` gives what is in a file.

        Raises:
            ValueError: if an image can't be decoded, has values without a known range, or, without `resize`, has
                another size or mode than `shape`.
        """
        if len(self.shape) != 3 or self.shape[0] not in _MODES:
            raise ValueError(
                f"data.shape={list(self.shape)}: expected [1, height, width] for grey or [3, height, width]"
            )
        images = np.empty((len(names), *self.shape), np.uint8)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for out, image in zip(images, pool.map(lambda name: self._decode(name, content), names), strict=True):
                out[:] = image.transpose(2, 0, 1)
        return images

    def done(self) -> "Done":
        """What was done to the images that were read since this was asked last."""
        seen, self._seen = self._seen, []
        return Done(len(seen), {size for size, _ in seen}, Counter(what for _, done in seen for what in done))

    def _decode(self, name: str, content: Callable[[str], bytes]) -> np.ndarray:
        """One image (H, W, C), uint8."""
        num_channels, height, width = self.shape
        mode, done = _MODES[num_channels], []
        image = self._opened(name, content)
        if getattr(image, "is_animated", False) and image.format != "PSD":  # whose further images are layers
            done.append("the first one of several in a file")
        is_transparent = image.has_transparency_data
        if _turned_upright(image):
            done.append("turned upright, as the EXIF orientation says")
        size = image.size
        if self.resize:
            if image.mode.startswith(("I", "F")):
                image = self._in_bytes(name, image)
                done.append("scaled from 16 bits to 8")
            if is_transparent:
                image, showed = _laid_on(image, self.background)
                if showed:
                    done.append(f"transparent in parts, and laid on {self.background} (data.background)")
            if image.mode not in _MODES.values():
                image = image.convert("RGB")  # in which Pillow converts all others
            image = image.convert(mode)
            if size != (width, height):
                image, is_cut = _fit(image, width, height)
                done.append(f"{'cut centrally and ' if is_cut else ''}resized to {width}×{height}")
        elif size != (width, height) or image.mode != mode or is_transparent:
            transparency = " and transparency" if is_transparent and image.mode == mode else ""
            raise ValueError(
                f"{self.place}: {name} is {_times(size)} with mode {image.mode}{transparency}, expected "
                f"{width}×{height} with mode {mode} for data.shape={list(self.shape)}; data.resize=true converts"
            )
        self._seen.append((size, done))
        return np.asarray(image).reshape(height, width, num_channels)

    def _opened(self, name: str, content: Callable[[str], bytes]) -> "Image":
        from PIL import Image

        try:
            image = Image.open(io.BytesIO(content(name)), formats=_formats())
            stored = image.tile[0].args if image.tile else None
            image.load()
        except (*_UNREADABLE, Image.DecompressionBombError) as error:
            reason = first_line(error) if str(error) and "BytesIO" not in str(error) else "not an image"
            raise ValueError(f"{self.place}: {name} can't be read: {reason}") from error
        if isinstance(stored, str) and stored in _TO_BYTES and "transparency" in image.info:
            image.info["transparency"] *= _TO_BYTES[stored]
        return image

    def _in_bytes(self, name: str, image: "Image") -> "Image":
        """Of an image with 16 bits, 0 … 65535 as 0 … 255, whatever of it the image uses.

        Raises:
            ValueError: if its values are real or exceed 16 bits: nobody knows which of them is white.
        """
        from PIL import Image

        values = np.asarray(image)
        low, high = values.min(), values.max()
        if image.mode == "F" or low < 0 or high > 65535:
            raise ValueError(
                f"{self.place}: {name} has mode {image.mode} with values from {low:g} to {high:g}, expected 8 bits,"
                " or 16 bits from 0 to 65535"
            )
        values = values.astype(np.uint32)
        grey = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
        if "transparency" in image.info:
            grey.putalpha(Image.fromarray(np.uint8(255) * (values != image.info["transparency"])))
        return grey


def _turned_upright(image: "Image") -> bool:
    """Turns the image as its EXIF orientation says; whether there was something to turn."""
    from PIL import ExifTags, ImageOps

    is_turned = False
    with suppress(*_UNREADABLE):  # what can't be read asks for nothing
        is_turned = image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
        ImageOps.exif_transpose(image, in_place=True)
    return is_turned


def _laid_on(image: "Image", background: Background) -> tuple["Image", bool]:
    """An image in RGB with the background where it is transparent; and whether it is, anywhere."""
    from PIL import Image

    if image.mode == "La":  # grey that is multiplied by its opacity
        image = image.convert("LA")
    image = image.convert("RGBA")
    level = {"white": 255, "black": 0}.get(background, background)
    below = Image.new("RGBA", image.size, (level, level, level, 255))
    shows = image.getchannel("A").getextrema()[0] < 255
    return Image.alpha_composite(below, image).convert("RGB"), shows


def _fit(image: "Image", width: int, height: int) -> tuple["Image", bool]:
    """The largest central part of the asked proportions, resized; and whether that is less than all."""
    from PIL import Image

    scale = min(image.width / width, image.height / height)
    part_width, part_height = max(1, round(scale * width)), max(1, round(scale * height))
    left, upper = (image.width - part_width) // 2, (image.height - part_height) // 2
    # Not resize(box=…), as in Pillow's ImageOps.fit, which lets the pixels around the box bleed in.
    part = image.crop((left, upper, left + part_width, upper + part_height))
    return part.resize((width, height), Image.Resampling.LANCZOS), part.size != image.size


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
