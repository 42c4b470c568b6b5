"""Images above maps of what each of their pixels costs: arrays in, one uint8 image out."""

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from torch import Tensor

from pmodel.plots.grids import captioned_grid, columns_for, in_colour, side_by_side
from pmodel.plots.plots import DPI, new_figure, render

COLOURS = colormaps["magma"]


def likelihood_maps(images: Tensor, bits: np.ndarray, captions: list[str]) -> np.ndarray:
    """Each image, below it its map on a colour scale that all share, and its caption.

    images: (N, C, H, W) in [0, 1]
    bits: −log₂ p of each pixel, (N, H, W), at least 0
    """
    finite = bits[np.isfinite(bits)]
    # A few pixels cost far more than all others, and would leave these black.
    most = max(np.quantile(finite, 0.995), 1e-3) if finite.size else 1.0
    scale = Normalize(0, most)
    maps = torch.from_numpy(COLOURS(scale(bits))[..., :3]).permute(0, 3, 1, 2).float()
    between = torch.ones(len(images), 3, 1, images.shape[3])
    pairs = torch.cat([in_colour(images).cpu(), between, maps], dim=2)
    page = captioned_grid(pairs, captions, columns_for(len(images)), gap=16, min_size=112)
    figure = new_figure(0.9, page.shape[0] / DPI)
    extend = "max" if (bits > most).any() else "neither"
    figure.colorbar(ScalarMappable(scale, COLOURS), cax=figure.subplots(), label="bits per pixel", extend=extend)
    title = "validation examples, −log₂ p(pixel | all before it), −log p(x)"
    return side_by_side({title: page, "": render(figure)})
