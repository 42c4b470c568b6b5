"""Draws docs/images/reach.png: how much the output at one place of an image changes with each pixel, of four networks.

The colour of a pixel is the size of the derivative, the mean over freshly initialized networks and random binary
images. Zero, to the last digit and in all of them, is what a network can't see.

    uv run docs/draw_reach.py
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.patches import Patch
from PIL import Image
from torch import nn

from pmodel.nets.gated_pixelcnn import GatedPixelCNNNetwork
from pmodel.nets.pixelcnn import PixelCNNNetwork
from pmodel.nets.pixelrnn import PixelRNNNetwork
from pmodel.plots.plots import new_figure, render

HEIGHT, WIDTH = 15, 21
ROW, COLUMN = 11, 10  # of the output
NUM_NETWORKS, NUM_IMAGES = 24, 16
# All kernels are 3×3, the first one too, and the convolutional networks deep enough to reach the image's top.
NETWORKS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "PixelCNN": ("10 blocks", lambda: PixelCNNNetwork(1, 1, 16, 10, 3, 3, 32)),
    "Gated PixelCNN": ("10 layers", lambda: GatedPixelCNNNetwork(1, 1, 32, 10, 3, 3, 32)),
    "Row LSTM": ("1 layer", lambda: PixelRNNNetwork(1, 1, "row", 16, 1, 3, 32)),
    "Diagonal BiLSTM": ("1 layer", lambda: PixelRNNNetwork(1, 1, "diagonal", 16, 1, 3, 32)),
}
SEEN, BLIND, LATER, SELF = colormaps["viridis"], "#9a9a9a", "#ececec", "#e4002b"
DECADES = 6


def reach(network: Callable[[], nn.Module]) -> np.ndarray:
    """Mean |∂ output at (ROW, COLUMN) / ∂ pixel|, (HEIGHT, WIDTH)."""
    total = torch.zeros(HEIGHT, WIDTH, dtype=torch.float64)
    for seed in range(NUM_NETWORKS):
        torch.manual_seed(seed)
        x = torch.randint(2, (NUM_IMAGES, 1, HEIGHT, WIDTH)).double().mul(2).sub(1).requires_grad_()
        (gradient,) = torch.autograd.grad(network().double()(x)[:, 0, ROW, COLUMN].sum(), x)
        total += gradient[:, 0].abs().mean(0)
    return (total / NUM_NETWORKS).numpy()


def draw(axes: Axes, title: str, size: np.ndarray, scale: LogNorm) -> None:
    """One panel: sizes relative to the largest."""
    later = np.arange(size.size).reshape(size.shape) >= ROW * WIDTH + COLUMN
    assert not size[later].any()
    colours = SEEN(scale(size / size.max()))
    colours[~later & (size == 0)] = to_rgba(BLIND)
    colours[later] = to_rgba(LATER)
    colours[ROW, COLUMN] = to_rgba(SELF)
    axes.pcolormesh(colours, edgecolors="white", linewidth=0.6)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_axis_off()
    axes.set_title(title, fontsize=14)


def main() -> None:
    scale = LogNorm(10.0**-DECADES, 1, clip=True)
    figure = new_figure(12.6, 3.1)
    panels = figure.subplots(1, len(NETWORKS))
    for axes, (name, (depth, network)) in zip(panels, NETWORKS.items(), strict=True):
        draw(axes, f"{name}, {depth}", reach(network), scale)
    bar = figure.colorbar(ScalarMappable(scale, SEEN), ax=panels, shrink=0.85, pad=0.015, extend="min")
    bar.set_label("derivative, relative", fontsize=12)
    handles = [
        Patch(color=SELF, label="the pixel to be predicted"),
        Patch(color=SEEN(0.6), label="earlier pixels that it depends on"),
        Patch(color=BLIND, label="earlier pixels that it can't see"),
        Patch(color=LATER, label="later pixels"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    path = Path(__file__).parent / "images" / "reach.png"
    Image.fromarray(render(figure)).save(path, optimize=True)


if __name__ == "__main__":
    main()
