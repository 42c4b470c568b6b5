"""Images side by side, in grids, and in rows with labels or signs: tensors in, uint8 arrays out."""

import importlib.util
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

BACKGROUND = 255
# The height and width below which an image is enlarged: 8×8 digits are too small to read.
MIN_CELL = 56
# The height of a caption's line.
LINE = 15
# A chequerboard of these stands for what is hidden.
HIDDEN = ((0.72, 0.81, 0.93), (0.83, 0.89, 0.97))


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's font; Pillow's own has no letters but those of English, and class names are a user's."""
    folder = Path(importlib.util.find_spec("matplotlib").origin).parent
    return ImageFont.truetype(str(folder / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1], one or three channels → (N, H, W, 3) uint8; values outside are clipped."""
    return (in_colour(images).detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def in_colour(images: Tensor) -> Tensor:
    """Images (N, 1 or 3, H, W) as (N, 3, H, W)."""
    return images.expand(-1, 3, -1, -1)


def hidden(images: Tensor, known: Tensor) -> Tensor:
    """Images (N, C, H, W) in colour, (N, 3, H, W), whose pixels that are not `known` (a boolean mask like them) are a
    soft blue chequerboard, which nobody takes for an image."""
    H, W = images.shape[2:]
    side = max(1, min(H, W) // 8)
    odd = (torch.arange(H)[:, None] // side + torch.arange(W) // side) % 2
    return torch.where(in_colour(known), in_colour(images), torch.tensor(HIDDEN)[odd].permute(2, 0, 1))


def image_grid(images: Tensor, columns: int, gap: int | None = None) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1] in rows of `columns` → one image (height, width, 3), uint8.

    Small images are enlarged by a whole factor, so that each pixel stays a square; the gap between them, in pixels
    of the result, is then as wide as one of theirs.
    """
    cells, factor = _enlarged(to_uint8(images))
    gap = max(2, factor) if gap is None else gap
    empty = -len(cells) % columns
    cells = np.pad(cells, ((0, empty), (gap, 0), (gap, 0), (0, 0)), constant_values=BACKGROUND)
    rows = [np.concatenate([*cells[start : start + columns]], 1) for start in range(0, len(cells), columns)]
    return np.pad(np.concatenate(rows), ((0, gap), (0, gap), (0, 0)), constant_values=BACKGROUND)


def sheet(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Images (N, H, W, 3) in rows of `columns`, as they are, without gaps → one image; the last row is filled up."""
    tiles = np.pad(tiles, ((0, -len(tiles) % columns), (0, 0), (0, 0), (0, 0)))
    _, H, W, C = tiles.shape
    return tiles.reshape(-1, columns, H, W, C).swapaxes(1, 2).reshape(-1, columns * W, C)


def captioned_grid(
    images: Tensor, captions: list[str], columns: int, gap: int = 10, min_size: int = MIN_CELL
) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1] in rows of `columns`, each above its caption, whose lines are centred.

    A column is as wide as its image or the widest caption, a row as high as the image and the longest caption.

    min_size: the height and width, in pixels, below which images are enlarged
    """
    cells, _ = _enlarged(to_uint8(images), min_size)
    lines = [caption.split("\n") for caption in captions]
    widest = max(math.ceil(font(12).getlength(line)) for caption in lines for line in caption)
    count, height, width, _ = cells.shape
    across, down = max(width, widest) + gap, height + 4 + LINE * max(map(len, lines)) + gap
    page = Image.new("RGB", (columns * across + gap, -(-count // columns) * down + gap), "white")
    draw = ImageDraw.Draw(page)
    for i, (cell, caption) in enumerate(zip(cells, lines, strict=True)):
        top, middle = gap + i // columns * down, gap + i % columns * across + (across - gap) // 2
        page.paste(Image.fromarray(cell), (middle - width // 2, top))
        for j, line in enumerate(caption):
            draw.text((middle, top + height + 4 + j * LINE), line, fill="black", font=font(12), anchor="ma")
    return np.asarray(page)


def _enlarged(cells: np.ndarray, min_size: int = MIN_CELL) -> tuple[np.ndarray, int]:
    """Cells (N, H, W, 3) of at least that many pixels, and the factor by which they have grown."""
    factor = max(1, -(-min_size // min(cells.shape[1:3])))
    return np.ascontiguousarray(cells.repeat(factor, axis=1).repeat(factor, axis=2)), factor


def columns_for(count: int) -> int:
    """How many columns show `count` images in a full rectangle, nearly a square; else in nearly a square."""
    root = math.ceil(math.sqrt(count))
    return next((columns for columns in range(root, 2 * root + 1) if count % columns == 0), root)


def side_by_side(panels: dict[str, np.ndarray], gap: int = 24) -> np.ndarray:
    """Images (height, width, 3) next to each other, each under its title."""
    caption = 28
    widths = [max(panel.shape[1], int(font(15).getlength(title)) + 8) for title, panel in panels.items()]
    height = caption + max(panel.shape[0] for panel in panels.values())
    page = Image.new("RGB", (sum(widths) + gap * (len(panels) - 1), height), "white")
    draw = ImageDraw.Draw(page)
    left = 0
    for (title, panel), width in zip(panels.items(), widths, strict=True):
        draw.text((left + 4, 4), title, fill="black", font=font(15))
        page.paste(Image.fromarray(panel), (left, caption))
        left += width + gap
    return np.asarray(page)


def in_rows(panels: dict[str, np.ndarray], columns: int) -> np.ndarray:
    """The same in rows of `columns`, below each other."""
    items = list(panels.items())
    rows = [side_by_side(dict(items[start : start + columns])) for start in range(0, len(items), columns)]
    width = max(row.shape[1] for row in rows)
    fill = {"constant_values": BACKGROUND}
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), **fill) for row in rows])


def on_axes(grid: np.ndarray, columns: Sequence[str], rows: Sequence[str], names: tuple[str, str]) -> np.ndarray:
    """A grid (height, width, 3) without gaps between two axes, below and at the left.

    columns, rows: what stands at each column, and at each row from the top; "" : nothing
    names: of the two axes
    """
    (height, width, _), small = grid.shape, font(12)
    left = 34 + math.ceil(max(small.getlength(text) for text in rows))
    page = Image.new("RGB", (left + width + 30, height + 44), "white")
    page.paste(Image.fromarray(grid), (left, 0))
    draw = ImageDraw.Draw(page)
    for i, text in enumerate(columns):
        if text:
            x = left + (i + 0.5) * width / len(columns)
            draw.line([x, height, x, height + 4], fill="black")
            draw.text((x, height + 6), text, fill="black", font=small, anchor="ma")
    for i, text in enumerate(rows):
        if text:
            y = (i + 0.5) * height / len(rows)
            draw.line([left - 5, y, left - 1, y], fill="black")
            draw.text((left - 8, y), text, fill="black", font=small, anchor="rm")
    draw.text((left + width / 2, height + 24), names[0], fill="black", font=font(14), anchor="ma")
    draw.text((4, height / 2 - 0.25 * height / len(rows)), names[1], fill="black", font=font(14), anchor="lm")
    return np.asarray(page)


def labelled_rows(rows: dict[str, Tensor]) -> np.ndarray:
    """Rows of images, each (N, C, H, W) in [0, 1] with the same N, to the right of its label."""
    (count, *_), *_ = (images.shape for images in rows.values())
    grid = image_grid(torch.cat(list(rows.values())), count)
    margin = math.ceil(max(font(13).getlength(label) for label in rows)) + 14
    page = Image.new("RGB", (margin + grid.shape[1], grid.shape[0]), "white")
    page.paste(Image.fromarray(grid), (margin, 0))
    draw = ImageDraw.Draw(page)
    for i, label in enumerate(rows):
        middle = (i + 0.5) * grid.shape[0] / len(rows)
        draw.text((margin - 8, middle), label, fill="black", font=font(13), anchor="rm")
    return np.asarray(page)


def equations(terms: Tensor, captions: list[list[str]], signs: str, gap: int) -> np.ndarray:
    """A row for each equation: its terms as images above their captions, with signs between them.

    terms: (N, M, C, H, W) in [0, 1], M terms in each of N equations
    captions: N lists of M lines
    signs: M − 1 of them, such as "−+="
    gap: in pixels, with room for a sign
    """
    N, M = terms.shape[:2]
    below = [caption for line in captions for caption in line]
    page = Image.fromarray(captioned_grid(terms.flatten(0, 1), below, M, gap=gap))
    draw = ImageDraw.Draw(page)
    across, down = (page.width - gap) // M, (page.height - gap) // N
    for row in range(N):
        middle = gap + row * down + (down - gap - LINE - 4) // 2
        for column, sign in enumerate(signs, 1):
            draw.text((column * across + gap // 2, middle), sign, fill="black", font=font(20), anchor="mm")
    return np.asarray(page)
