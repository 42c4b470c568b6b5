"""A map of codes in the plane, with some of their examples on it; arrays in, one uint8 image out."""

from collections.abc import Sequence
from itertools import combinations
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from pmodel.plots.frame import ratio, to_scale
from pmodel.plots.palette import cluster_color
from pmodel.plots.plots import DPI, HALO, MOST_NAMED, add_legend, new_figure, plain, render

# Of an example on the map, its longer side, and with its frame, in pixels.
SIDE, FRAMED = 32, 40


def code_map(
    codes: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    names: Sequence[str],
    title: str,
    images: np.ndarray | None = None,
    num_images: int = 0,
) -> np.ndarray:
    """Points (N, 2) coloured by group (N,), and at some of them, which are far enough from each other, their examples.

    groups: names by label; each stands near the median of its points, since nobody tells ten colours apart for sure
    names: of the axes
    images: (N, H, W, 3), uint8; None: only points
    num_images: on the map, at most
    """
    height = float(np.clip(7.6 * ratio(*codes.T) + 1, 4, 8.5))
    figure = new_figure(9, height)
    axes = figure.subplots()
    mixed = np.random.default_rng(0).permutation(len(codes))
    colours = [cluster_color(labels[i]) for i in mixed]
    size = float(np.clip(6000 / len(codes), 8, 26))
    axes.scatter(*codes[mixed].T, s=size, c=colours, alpha=0.6, linewidths=0)
    axes.set(xlabel=names[0], ylabel=fill(names[1], round(11 * height)))
    axes.set_aspect("equal" if to_scale(*codes.T) else "auto", adjustable="datalim")
    add_legend(figure, [plain(group) for group in groups])
    figure.suptitle(title, fontsize=11)
    # Until the figure is laid out, nobody knows what is far enough.
    figure.draw_without_rendering()
    names_at = np.empty((0, 2))
    if 1 < len(groups) <= MOST_NAMED:
        names_at = _name(axes, [np.median(codes[labels == k], axis=0) for k in range(len(groups))], groups)
    if images is not None:
        for i in _spread(axes, codes, num_images, names_at):
            _put(axes, images[i], codes[i], cluster_color(labels[i]))
    return render(figure)


def _name(axes: Axes, places: Sequence[np.ndarray], groups: Sequence[str]) -> np.ndarray:
    """Writes each name at its place (2,), or beside it where two would lie on each other; where, in pixels, (K, 2)."""
    style = {"fontsize": 13, "fontweight": "bold", "ha": "center", "va": "center", "zorder": 5, "path_effects": HALO}
    texts = [axes.text(*place, plain(group), **style) for place, group in zip(places, groups, strict=True)]
    boxes = [text.get_window_extent() for text in texts]
    middles = apart(np.array([(b.x0 + b.x1, b.y0 + b.y1) for b in boxes]) / 2, np.array([b.size for b in boxes]))
    for text, place in zip(texts, axes.transData.inverted().transform(middles), strict=True):
        text.set_position(place)
    return middles


def apart(middles: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The middles (K, 2) of boxes with these widths and heights (K, 2), moved until no two boxes overlap, or nearly."""
    middles = middles.astype(float)
    for _ in range(200):
        moved = False
        for i, j in combinations(range(len(middles)), 2):
            away = middles[j] - middles[i]
            overlap = (sizes[i] + sizes[j]) / 2 - np.abs(away)
            if (overlap > 0.5).all():
                d = overlap.argmin()
                push = np.copysign(overlap[d] / 2, away[d])
                middles[i, d] -= push
                middles[j, d] += push
                moved = True
        if not moved:
            break
    return middles


def _spread(axes: Axes, codes: np.ndarray, count: int, names_at: np.ndarray) -> list[int]:
    """Which of the points (N, 2) get their example: `count` at most, spread over the map, none of which touch, or hide
    a name at one of these places (K, 2)."""
    places = axes.transData.transform(codes)
    box = axes.get_window_extent()
    columns = max(1, int(np.sqrt(count)))
    chosen: list[int] = []
    steps = (np.arange(columns) + 0.5) / columns
    for y in box.y0 + steps * box.height:
        for x in box.x0 + steps * box.width:
            nearest = int(np.abs(places - (x, y)).max(1).argmin())
            reach = 0.5 * np.array([box.width, box.height]) / columns
            is_free = (np.abs(names_at - places[nearest]).max(1) >= 0.7 * FRAMED).all()
            near = is_free and (np.abs(places[nearest] - (x, y)) <= reach).all()
            apart = np.abs(places[chosen] - places[nearest]).max(1) if chosen else np.array([np.inf])
            if near and apart.min() >= FRAMED:
                chosen.append(nearest)
    return chosen


def _put(axes: Axes, image: np.ndarray, place: np.ndarray, colour: str) -> None:
    """An image (H, W, 3) at a place (2,), in a frame of that colour."""
    zoom = SIDE / max(image.shape[:2]) * 72 / DPI
    shown = OffsetImage(image, zoom=zoom, interpolation="nearest" if zoom > 1 else "antialiased")
    frame = {"edgecolor": colour, "linewidth": 1.6}
    axes.add_artist(AnnotationBbox(shown, place, pad=0.1, bboxprops=frame, zorder=4))
