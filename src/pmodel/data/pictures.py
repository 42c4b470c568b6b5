"""Decodes picture files into one uint8 tensor."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pmodel.bar import Bar

if TYPE_CHECKING:
    from numpy import ndarray
    from PIL.Image import Image

_MODES = {1: "L", 3: "RGB"}
_TASK = 64  # pictures a thread decodes in one go


def read_pictures(
    names: Sequence[str],
    read: Callable[[str], bytes],
    shape: tuple[int, ...],
    resize: bool,
    place: str,
) -> Tensor:
    """The pictures (N, C, H, W), uint8, in the order of `names`.

    read: gives the content of a file
    resize: cuts each picture centrally to the proportions of `shape`, resizes it (Lanczos) and converts its mode
    place: the setting that says where the files are; begins each message

    Raises:
        ValueError: if a picture can't be decoded or has more than 8 bits per channel, or, without `resize`, has another
            size or mode than `shape`.
    """
    if len(shape) != 3 or shape[0] not in _MODES:
        raise ValueError(f"data.shape={list(shape)}: expected [1, height, width] for grey or [3, height, width]")
    num_channels, height, width = shape
    pictures = torch.empty(len(names), height, width, num_channels, dtype=torch.uint8)
    out = pictures.numpy()

    def decode(start: int) -> int:
        task = names[start : start + _TASK]
        for i, name in enumerate(task, start):
            out[i] = _decode(name, read, shape, resize, place)
        return len(task)

    # Pillow holds Python's lock but while it resizes: of 10,000 pictures of 32×32, two threads took 2.5 s, one 1.6 s;
    # of 1000 faces of 178×218 to resize, two took 0.5 s, one 1.0 s.
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Bar(len(names), "reading pictures") as bar,
    ):
        for count in (pool.map if resize else map)(decode, range(0, len(names), _TASK)):
            bar.update(count)
    return pictures.permute(0, 3, 1, 2).contiguous()


def _decode(name: str, read: Callable[[str], bytes], shape: tuple[int, ...], resize: bool, place: str) -> "ndarray":
    """One picture (H, W, C), uint8."""
    import numpy as np
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(read(name)))
        picture.load()
    except (
        *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error),
        *(zipfile.BadZipFile, Image.DecompressionBombError),
    ) as error:
        reason = str(error).splitlines()[0] if str(error) and "BytesIO" not in str(error) else "not a picture"
        raise ValueError(f"{place}: {name} is corrupt: {reason}") from error
    except RuntimeError as error:  # of zipfile: encrypted, or a method that it does not know
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{place}: {name} can't be read: {reason}") from error
    num_channels, height, width = shape
    mode = _MODES[num_channels]
    if picture.mode.startswith(("I", "F")):  # Pillow would cut all above 255 off
        raise ValueError(
            f"{place}: {name} is {picture.width}×{picture.height} with mode {picture.mode}, "
            f"expected an 8-bit picture with mode {mode} for data.shape={list(shape)}"
        )
    if resize:
        picture = _fit(picture.convert(mode), width, height)
    elif picture.size != (width, height) or picture.mode != mode:
        raise ValueError(
            f"{place}: {name} is {picture.width}×{picture.height} with mode {picture.mode}, "
            f"expected {width}×{height} with mode {mode} for data.shape={list(shape)}; data.resize=true converts"
        )
    return np.asarray(picture).reshape(height, width, num_channels)


def _fit(picture: "Image", width: int, height: int) -> "Image":
    """The largest central part of the asked proportions, resized."""
    from PIL import Image

    scale = min(picture.width / width, picture.height / height)
    part_width, part_height = round(scale * width), round(scale * height)
    left, upper = (picture.width - part_width) // 2, (picture.height - part_height) // 2
    # Not resize(box=…), which lets the pixels around the box bleed in.
    part = picture.crop((left, upper, left + part_width, upper + part_height))
    return part.resize((width, height), Image.Resampling.LANCZOS)
