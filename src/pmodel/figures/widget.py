"""What the reader of a page can move: all that it can then show is drawn before, since a page has no model."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.plots.grids import to_uint8


@dataclass(frozen=True)
class Widget:
    """One figure of one model that a page's reader moves.

    kind: how it is moved
    title, words: what one does there, in two or three words and in a sentence or two
    tiles: all that it can show, (N, H, W, 3), uint8
    values: plain, by the kind, which tile is shown when:
        plane: points [[x, y], …] with the tile of the same number as their example, `groups`, the number of each
            point's group, their `names` and `colors`; the `box` [left, right, bottom, top] of all and its `axes`;
            `lattice`: n > 0 if the last n² tiles are what is decoded at the centres of n × n even cells of the box,
            rows from the top
        sliders: `latents`, a list of [name, values], each with S values, and the place at which each starts, `start`;
            tile Σ_k i_k S^(K−1−k) has latent k at its i_k-th value
        erase: M = `images` and W = `ways`; the first M tiles are the images; each has 2 × 2 quarters, of which a set
            0 < s < 16 is erased, the k-th in reading order by the bit 2^k; tile M + (15 m + s − 1) W + w is the w-th
            completion of image m without the set s
        epochs: a label for each tile
    """

    kind: Literal["plane", "sliders", "erase", "epochs"]
    title: str
    words: str
    tiles: np.ndarray
    values: dict[str, Any]


def decoded(model: LightningModule, z: Tensor) -> np.ndarray:
    """What a model makes of codes (N, D), as tiles; not all at once."""
    return np.concatenate([to_uint8(model.decode(part.to(model.device))) for part in z.split(500)])
