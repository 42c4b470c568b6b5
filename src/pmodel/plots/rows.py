"""Images in rows that have a label or spell out an equation: tensors in, one uint8 image out."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from pmodel.plots.grids import LINE, captioned_grid, font, image_grid


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
