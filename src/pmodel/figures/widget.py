"""What the reader of a page can move: all that it can then show is drawn before, since a page has no model."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import interpolate

from pmodel.plots.grids import to_uint8

# Of a tile's longer side, in pixels.
MOST_SIDE = 96


@dataclass(frozen=True)
class Widget:
    """One figure of one model that a page's reader moves.

    kind: how it is moved
    title, words: what one does there, in two or three words and in a sentence or two
    tiles: all that it can show, (N, H, W, 3), uint8
    values: plain, by the kind, which tile is shown when:
        plane: points [[x, y], …] in [0, 1]², from the left and from the bottom of the `box` [left, right, bottom,
            top], with the tile of the same number as their example; `groups`, the number of each point's group, their
            `names` and `colors`; the `axes`, one name for each or for both; `lattice`: n > 0 if the last n² tiles are
            what is decoded at the centres of n × n even cells of the box, rows from the top
        sliders: `latents`, a list of [name, values], each with S values, and the place at which each starts, `start`;
            tile Σ_k i_k S^(K−1−k) has latent k at its i_k-th value
        erase: M = `images` and W = `ways`; the first M tiles are the images; each has 2 × 2 quarters, of which a set
            0 < s < 16 is erased, the k-th in reading order by the bit 2^k; tile M + (15 m + s − 1) W + w is the w-th
            completion of image m without the set s
        epochs: `labels`, one for each tile, and the number of the first one to show, `start`
    """

    kind: Literal["plane", "sliders", "erase", "epochs"]
    title: str
    words: str
    tiles: np.ndarray
    values: dict[str, Any]


def tiles_of(x: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1] as tiles; large ones are shrunk, since a page has many."""
    factor = -(-max(x.shape[2:]) // MOST_SIDE)
    size = [max(1, side // factor) for side in x.shape[2:]]
    return to_uint8(x if factor == 1 else interpolate(x.float(), size=size, mode="area"))


def epochs_widget(title: str, words: str, tiles: dict[int, np.ndarray], own: int) -> Widget:
    """A tile for each epoch, in order. `own` is the model's, which need not be the last one: best.ckpt's is not."""
    labels = [named(epoch) for epoch in tiles]
    start = list(tiles).index(own)
    if start < len(labels) - 1:
        labels[start] += ", this model"
    return Widget("epochs", title, words, np.stack(list(tiles.values())), {"labels": labels, "start": start})


def named(epoch: int) -> str:
    return f"epoch {epoch}" if epoch else "start"


def decoded(model: LightningModule, z: Tensor) -> np.ndarray:
    """What a model makes of codes (N, D), as tiles; not all at once."""
    return np.concatenate([tiles_of(model.decode(part.to(model.device))) for part in z.split(500)])
