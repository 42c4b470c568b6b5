"""Decodes image files into uint8 tensors of one shape, and counts what that took."""

import io
import math
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

from pmodel.files.printable import first_line
from pmodel.processes.bar import Bar

if TYPE_CHECKING:
    from numpy import ndarray
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
        with ThreadPoolExecutor(os.cpu_count()) as pool, Bar(len(names), "reading images") as bar:
            decoded = pool.map(lambda name: self._decode(name, content), names)
            for out, image in zip(images.numpy(), decoded, strict=True):
                out[:] = image
                bar.update()
        return images.permute(0, 3, 1, 2).contiguous()

    @property
    def notes(self) -> list[str]:
        """What was done to the images read so far, a line each."""
        sizes = sorted(set(self._sizes), key=lambda size: (math.prod(size), size))
        of_sizes = f"images of {len(sizes):,} sizes, from {_times(sizes[0])} to {_times(sizes[-1])}" if sizes else ""
        done = sorted(Counter(self._done).items())
        lines = [f"{count:,} of {len(self._sizes):,} images: {what}" for what, count in done]
        return [of_sizes, *lines] if len(sizes) > 1 else lines

    def _decode(self, name: str, content: Callable[[str], bytes]) -> "ndarray":
        """One image (H, W, C), uint8."""
        import numpy as np

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
        self._sizes.append(size)
        self._done.extend(done)
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
        import numpy as np
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
