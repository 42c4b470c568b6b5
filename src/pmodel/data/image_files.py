"""Decodes image files into uint8 tensors of one shape, and counts what that took."""

import io
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from pmodel.processes.bar import Bar

if TYPE_CHECKING:
    from numpy import ndarray
    from PIL.Image import Image

Background = Literal["white", "black"] | Annotated[int, Ge(0), Le(255)]

# What Pillow knows and no image can be read from: it recognizes the first five without decoding them, and starts
# another program for EPS; FITS holds measurements, which have no black and no white.
NOT_IMAGES = ("BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS", "FITS", "IPTC")
_MODES = {1: "L", 3: "RGB"}
_TASK = 64  # images a thread decodes in one go
# What decoders raise for a file that is cut or damaged.
_CORRUPT = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, AssertionError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)
# Pillow brings the values of such PNG files to 8 bits, but not the one among them that means transparent.
_TO_BYTES: dict[str, Callable[[int], int]] = {
    "L;2": lambda v: 85 * v,
    "L;4": lambda v: 17 * v,
    "RGB;16B": lambda v: v >> 8,
}


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


class ImageReader:
    """Reads files into images (N, C, H, W), uint8.

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
        # Of the images read so far: width and height as they are seen, and what was done to them.
        self._sizes: list[tuple[int, int]] = []
        self._done: list[str] = []

    def read(self, names: Sequence[str], content: Callable[[str], bytes]) -> Tensor:
        """The images in the order of `names`; `content` gives what is in a file.

        Raises:
            ValueError: if an image can't be decoded, has values without a known range, or, without `resize`, has
                another size or mode than `shape`.
        """
        if len(self.shape) != 3 or self.shape[0] not in _MODES:
            raise ValueError(
                f"data.shape={list(self.shape)}: expected [1, height, width] for grey or [3, height, width]"
            )
        num_channels, height, width = self.shape
        images = torch.empty(len(names), height, width, num_channels, dtype=torch.uint8)
        out = images.numpy()

        def decode(start: int) -> int:
            some = names[start : start + _TASK]
            for i, name in enumerate(some, start):
                out[i] = self._decode(name, content)
            return len(some)

        starts = range(0, len(names), _TASK)
        with ThreadPoolExecutor(os.cpu_count()) as pool, Bar(len(names), "reading images") as bar:
            for some in (starts[:1], starts[1:]):
                # Pillow holds Python's lock but while it resizes: of 10,000 images of 32×32, two threads took 2.5 s,
                # one 1.6 s; of 1000 faces of 178×218 to resize, two took 0.5 s, one 1.0 s.
                one_by_one = set(self._sizes) <= {(width, height)}
                for count in (map if one_by_one else pool.map)(decode, some):
                    bar.update(count)
        return images.permute(0, 3, 1, 2).contiguous()

    @property
    def notes(self) -> list[str]:
        """What was done to the images read so far, a line each."""
        notes, size = [], (self.shape[2], self.shape[1])
        sizes, done = Counter(self._sizes), Counter(self._done)
        others = sorted(sizes.keys() - {size}, key=lambda size: (size[0] * size[1], size))
        if others:
            count, total = sizes.total() - sizes[size], sizes.total()
            number = _counted(total, "image") if count == total else f"{count:,} of {_counted(total, 'image')}"
            from_to = f"{len(others):,} sizes (from {_times(others[0])} to {_times(others[-1])})"
            cut = "cut centrally and " if any(_central(other, size)[2:] != other for other in others) else ""
            notes.append(
                f"{number} of {from_to if len(others) > 1 else _times(others[0])} {_were(count)} {cut}resized to"
                f" {_times(size)}"
            )
        background = f"{self.background} (data.background)"
        for what, line in {
            "turned": "turned upright, as the EXIF orientation says",
            "laid": f"transparent in parts, and laid on {background}",
            "scaled": "scaled from 16 bits to 8",
        }.items():
            if count := done[what]:
                notes.append(f"{_counted(count, 'image')} {_were(count)} {line}")
        if count := done["several"]:
            notes.append(f"{_counted(count, 'file')} with several images: the first one was read")
        return notes

    def _decode(self, name: str, content: Callable[[str], bytes]) -> "ndarray":
        """One image (H, W, C), uint8."""
        import numpy as np

        num_channels, height, width = self.shape
        mode, done = _MODES[num_channels], []
        image = self._opened(name, content)
        if getattr(image, "is_animated", False) and image.format != "PSD":  # whose further images are layers
            done.append("several")
        is_transparent = image.has_transparency_data
        done += ["turned"] * _turned_upright(image)
        size = image.size
        if self.resize:
            done += ["scaled"] * image.mode.startswith("I")
            image = self._in_bytes(name, image)
            if is_transparent:
                image, showed = _laid_on(image, self.background)
                done += ["laid"] * showed
            if image.mode not in _MODES.values():
                image = image.convert("RGB")  # in which Pillow converts all others
            image = _fit(image.convert(mode), width, height)
        elif size != (width, height) or image.mode != mode or is_transparent:
            transparency = " and transparency" if is_transparent and image.mode == mode else ""
            raise ValueError(
                f"{self.place}: {name} is {_times(size)} with mode {image.mode}{transparency}, expected "
                f"{width}×{height} with mode {mode} for data.shape={list(self.shape)}; data.resize=true converts"
            )
        self._sizes.append(size)
        self._done.extend(done)
        return np.asarray(image).reshape(height, width, num_channels)

    def _opened(self, name: str, content: Callable[[str], bytes]) -> "Image":
        from PIL import Image

        try:
            image = Image.open(io.BytesIO(content(name)), formats=_formats())
            stored = image.tile[0].args if image.tile else None
            image.load()
        except (*_CORRUPT, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0] if str(error) and "BytesIO" not in str(error) else "not an image"
            raise ValueError(f"{self.place}: {name} is corrupt: {reason}") from error
        except RuntimeError as error:  # of zipfile: encrypted, or a method that it does not know
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{self.place}: {name} can't be read: {reason}") from error
        transparent = image.info.get("transparency")
        if transparent is not None and isinstance(stored, str) and stored in _TO_BYTES:
            to_bytes = _TO_BYTES[stored]
            scaled = tuple(map(to_bytes, transparent)) if isinstance(transparent, tuple) else to_bytes(transparent)
            image.info["transparency"] = scaled
        return image

    def _in_bytes(self, name: str, image: "Image") -> "Image":
        """The image itself; of one with 16 bits, 0 … 65535 as 0 … 255, whatever of it the image uses.

        Raises:
            ValueError: if its values are real or exceed 16 bits: nobody knows which of them is white.
        """
        import numpy as np
        from PIL import Image

        if not image.mode.startswith(("I", "F")):
            return image
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
    with suppress(*_CORRUPT):  # what can't be read asks for nothing
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


def _central(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left and upper corner, width and height of the largest central part of a size that has the proportions asked."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    width, height = max(1, round(scale * shape[0])), max(1, round(scale * shape[1]))
    return (size[0] - width) // 2, (size[1] - height) // 2, width, height


def _fit(image: "Image", width: int, height: int) -> "Image":
    """The largest central part of the asked proportions, resized."""
    from PIL import Image

    left, upper, part_width, part_height = _central(image.size, (width, height))
    # Not resize(box=…), which lets the pixels around the box bleed in.
    part = image.crop((left, upper, left + part_width, upper + part_height))
    return part.resize((width, height), Image.Resampling.LANCZOS)


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
