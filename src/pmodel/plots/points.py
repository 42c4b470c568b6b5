"""Points of a few dimensions by group: arrays in, one uint8 image out. Drawn with Pillow, in a tenth of a second."""

import math

import numpy as np
from PIL import Image, ImageDraw

from pmodel.plots.grids import font
from pmodel.plots.palette import cluster_color

# A legend of more groups would be longer than the plot.
MOST_NAMED = 20
BARS = 40
# Pillow draws discs with jagged edges: they are drawn larger, and made smaller.
FINER = 3
RADIUS = 2.2
LEFT, BELOW, GAP, LINE = 78, 46, 16, 20
SMALL, LARGE = 170, 460
GREY = (120, 120, 120)


def points(groups: dict[str, np.ndarray], names: list[str], title: str) -> np.ndarray:
    """Points (N_k, D) of named groups: stacked histograms for D = 1, a scatter for D = 2; else each column against each
    other, and the histogram of each.

    names: of the D columns
    """
    arrays = [group.astype(float) for group in groups.values()]
    ranges = [_range(column) for column in np.concatenate(arrays).T]
    D, top, left = len(ranges), LINE * len(title.split("\n")) + GAP, LEFT + LINE
    width, height = _panel_size(ranges)
    rows, across, down = (1, width, height) if D <= 2 else (D, width + GAP, height + GAP)
    right = left + rows * across + GAP
    legend = list(groups) if 1 < len(groups) <= MOST_NAMED else []
    size = max(right + (_widest(legend, 12) + 30 if legend else 0), GAP + _widest(title.split("\n"), 15))
    page = Image.new("RGB", (size, top + rows * down + BELOW), "white")
    draw = ImageDraw.Draw(page)
    draw.multiline_text((GAP, 6), title, fill="black", font=font(15), spacing=LINE - 17)
    for i in range(rows):
        for j in range(i + 1):
            x, y = (0, 1 % D) if D <= 2 else (j, i)
            corner, up = (left + j * across, top + i * down), ranges[y]
            if x == y:
                panel, highest = _bars([array[:, x] for array in arrays], ranges[x], (width, height))
                up = 0, highest
            else:
                panel = _discs([array[:, (x, y)] for array in arrays], (ranges[x], up), (width, height))
            page.paste(panel, corner)
            draw.rectangle((*corner, corner[0] + width, corner[1] + height), outline=GREY)
            if i == rows - 1:
                _mark_x(draw, corner, width, height, ranges[x], names[x])
            if j == 0 and (x != y or D == 1):
                _mark_y(page, corner, height, up, "examples" if D == 1 else names[y])
    corner = (right, top) if D <= 2 else (left + 2 * across, top)
    for k, name in enumerate(legend):
        x, y = corner[0], corner[1] + LINE * k
        draw.rectangle((x, y + 3, x + 10, y + 13), fill=cluster_color(k))
        draw.text((x + 18, y), name, fill="black", font=font(12))
    return np.asarray(page)


def _range(column: np.ndarray) -> tuple[float, float]:
    """The range of the values (N,), and a little on both sides."""
    low, high = float(column.min()), float(column.max())
    margin = 0.05 * (high - low) or max(0.5, 0.05 * abs(low))
    return low - margin, high + margin


def _panel_size(ranges: list[tuple[float, float]]) -> tuple[int, int]:
    """Width and height in pixels: to scale in the plane, unless that makes a thin strip."""
    if len(ranges) != 2:
        return (LARGE, round(0.7 * LARGE)) if len(ranges) == 1 else (SMALL, SMALL)
    ratio = (ranges[1][1] - ranges[1][0]) / (ranges[0][1] - ranges[0][0])
    ratio = ratio if 1 / 4 < ratio < 4 else 0.8
    return round(LARGE / max(1, ratio)), round(LARGE * min(1, ratio))


def _discs(arrays: list[np.ndarray], ranges: tuple, size: tuple[int, int]) -> Image.Image:
    """A disc for each point (N_k, 2), those of all groups mixed."""
    panel = Image.new("RGB", (FINER * size[0], FINER * size[1]), "white")
    draw, radius = ImageDraw.Draw(panel), FINER * RADIUS
    colours = [cluster_color(k) for k, array in enumerate(arrays) for _ in array]
    low, high = np.array(ranges).T
    places = (np.concatenate(arrays) - low) / (high - low)
    xs, ys = places[:, 0] * panel.width, (1 - places[:, 1]) * panel.height
    for i in np.random.default_rng(0).permutation(len(places)).tolist():
        draw.ellipse((xs[i] - radius, ys[i] - radius, xs[i] + radius, ys[i] + radius), fill=colours[i])
    return panel.resize(size, Image.Resampling.BOX)


def _bars(arrays: list[np.ndarray], span: tuple, size: tuple[int, int]) -> tuple[Image.Image, float]:
    """The histogram of values (N_k,), the groups on top of each other; and what its height stands for."""
    panel = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(panel)
    counts = np.stack([np.histogram(array, BARS, span)[0] for array in arrays]).cumsum(0)
    highest = 1.05 * counts[-1].max()
    edges = np.linspace(0, size[0], BARS + 1).round().astype(int)
    for k in reversed(range(len(arrays))):
        tops = (size[1] * (1 - counts[k] / highest)).round().astype(int)
        for b in counts[k].nonzero()[0].tolist():
            draw.rectangle((edges[b], tops[b], edges[b + 1] - 1, size[1]), fill=cluster_color(k))
    return panel, highest


def _mark_x(draw: ImageDraw.ImageDraw, corner: tuple, width: int, height: int, span: tuple, name: str) -> None:
    bottom = corner[1] + height
    marks = ticks(*span, max(2, width // 55))
    if sum(_widest([text], 11) + 8 for _, text in marks) > width:
        marks = marks[:: max(1, len(marks) - 1)]
    for value, text in marks:
        x = corner[0] + (value - span[0]) / (span[1] - span[0]) * width
        draw.line((x, bottom, x, bottom + 4), fill=GREY)
        half = _widest([text], 11) / 2
        middle = min(max(x, corner[0] + half), corner[0] + width - half)  # not below the next panel
        draw.text((middle, bottom + 5), text, fill="black", font=font(11), anchor="ma")
    draw.text((corner[0] + width / 2, bottom + 22), name, fill="black", font=font(12), anchor="ma")


def _mark_y(page: Image.Image, corner: tuple, height: int, span: tuple, name: str) -> None:
    draw = ImageDraw.Draw(page)
    for value, text in ticks(*span, max(2, height // 50)):
        y = corner[1] + (1 - (value - span[0]) / (span[1] - span[0])) * height
        draw.line((corner[0] - 4, y, corner[0], y), fill=GREY)
        draw.text((corner[0] - 6, y), text, fill="black", font=font(11), anchor="rm")
    text = Image.new("RGB", (_widest([name], 12) + 2, LINE), "white")
    ImageDraw.Draw(text).text((1, 2), name, fill="black", font=font(12))
    turned = text.rotate(90, expand=True)
    page.paste(turned, (2, max(0, corner[1] + (height - turned.height) // 2)))


def ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Round values in a range and how they are written: about `count`, and two at least, at steps of 1, 2 or 5 times a
    power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (5, 2, 1, 0.5, 0.2):
        step = factor * power
        values = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if (step < 1.5 * rough and len(values) > 1) or len(values) > count:
            break
    largest = max((abs(value) for value in values), default=0)
    if step < 1e-4 or largest >= 1e7:
        form = f".{max(1, math.ceil(math.log10(max(largest / step, 1)) + 1))}g"
    else:
        form = f",.{max(0, -math.floor(math.log10(step) + 1e-9))}f"
    return [(value, format(value, form).replace("-", "−")) for value in values]


def _widest(lines: list[str], size: int) -> int:
    return math.ceil(max(font(size).getlength(line) for line in lines))
