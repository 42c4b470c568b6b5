"""Pictures side by side: tensors in, uint8 arrays out."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

BACKGROUND = 255
# The height and width below which a picture is enlarged: 8×8 digits are too small to read.
MIN_CELL = 56
# The height of a caption's line.
LINE = 15


def to_uint8(images: Tensor) -> np.ndarray:
    """Pictures (N, C, H, W) in [0, 1], one or three channels → (N, H, W, 3) uint8; values outside are clipped."""
    array = (images.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return np.broadcast_to(array, (*array.shape[:3], 3)) if array.shape[3] == 1 else array


def image_grid(images: Tensor, columns: int, gap: int | None = None) -> np.ndarray:
    """Pictures (N, C, H, W) in [0, 1] in rows of `columns` → one picture (height, width, 3), uint8.

    Small pictures are enlarged by a whole factor, so that each pixel stays a square; the gap between them, in pixels
    of the result, is then as wide as one of theirs.
    """
    cells, factor = _enlarged(to_uint8(images))
    gap = max(2, factor) if gap is None else gap
    count, height, width, _ = cells.shape
    rows = -(-count // columns)
    grid = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), BACKGROUND, np.uint8)
    for i, cell in enumerate(cells):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        grid[top : top + height, left : left + width] = cell
    return grid


def captioned_grid(images: Tensor, captions: list[str], columns: int, gap: int = 10) -> np.ndarray:
    """Pictures (N, C, H, W) in [0, 1] in rows of `columns`, each above its caption, whose lines are centred.

    A column is as wide as its picture or the widest caption, a row as high as the picture and the longest caption.
    """
    cells, _ = _enlarged(to_uint8(images))
    font = ImageFont.load_default(size=12)
    lines = [caption.split("\n") for caption in captions]
    widest = max(math.ceil(font.getlength(line)) for caption in lines for line in caption)
    count, height, width, _ = cells.shape
    across, down = max(width, widest) + gap, height + 4 + LINE * max(map(len, lines)) + gap
    page = Image.new("RGB", (columns * across + gap, -(-count // columns) * down + gap), "white")
    draw = ImageDraw.Draw(page)
    for i, (cell, caption) in enumerate(zip(cells, lines, strict=True)):
        top, middle = gap + i // columns * down, gap + i % columns * across + (across - gap) // 2
        page.paste(Image.fromarray(cell), (middle - width // 2, top))
        for j, line in enumerate(caption):
            draw.text((middle, top + height + 4 + j * LINE), line, fill="black", font=font, anchor="ma")
    return np.asarray(page)


def _enlarged(cells: np.ndarray) -> tuple[np.ndarray, int]:
    """Cells (N, H, W, 3) of at least MIN_CELL pixels, and the factor by which they have grown."""
    factor = max(1, -(-MIN_CELL // min(cells.shape[1:3])))
    return np.ascontiguousarray(cells.repeat(factor, axis=1).repeat(factor, axis=2)), factor


def columns_for(count: int) -> int:
    """How many columns show `count` pictures in a full rectangle, nearly a square; else in nearly a square."""
    root = math.ceil(math.sqrt(count))
    return next((columns for columns in range(root, 2 * root + 1) if count % columns == 0), root)


def side_by_side(panels: dict[str, np.ndarray], gap: int = 24) -> np.ndarray:
    """Pictures (height, width, 3) next to each other, each under its title."""
    font = ImageFont.load_default(size=16)
    caption = 28
    widths = [max(panel.shape[1], int(font.getlength(title)) + 8) for title, panel in panels.items()]
    height = caption + max(panel.shape[0] for panel in panels.values())
    page = Image.new("RGB", (sum(widths) + gap * (len(panels) - 1), height), "white")
    draw = ImageDraw.Draw(page)
    left = 0
    for (title, panel), width in zip(panels.items(), widths, strict=True):
        draw.text((left + 4, 4), title, fill="black", font=font)
        page.paste(Image.fromarray(panel), (left, caption))
        left += width + gap
    return np.asarray(page)
