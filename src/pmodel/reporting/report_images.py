"""Images and curves of a results document as they stand in a page."""

import base64
import io
import math
from typing import Any, NamedTuple

from PIL import Image

from pmodel.reporting.texts import grouped, is_finite, label_of

# The width, in pixels, of images that are shown in twice their size where one looks at one alone.
SMALL = 600


class PageImage(NamedTuple):
    """An image in the page, and its size in its own pixels."""

    uri: str
    width: int
    height: int
    alt: str

    @property
    def is_small(self) -> bool:
        """Whether there is room to show each of its pixels as a square of four."""
        return self.width <= SMALL


def image_of(file: bytes, alt: str) -> PageImage:
    """A PNG, or a film, a GIF or a WebP, as a data URI."""
    with Image.open(io.BytesIO(file), formats=["PNG", "GIF", "WEBP"]) as image:
        (width, height), kind = image.size, image.format.lower()
    return PageImage(f"data:image/{kind};base64,{base64.b64encode(file).decode()}", width, height, alt)


def curves_of(runs: list[dict[str, Any]], groups: tuple[str, ...]) -> list[tuple[str, PageImage]]:
    """Each curve of these groups: its words, and all runs that have it in one plot."""
    found = grouped(
        (curve["name"], (run["label"], curve))
        for run in runs
        for curve in run.get("curves", [])
        if curve.get("group", "other") in groups
    )
    return [_plotted(lines) for lines in found.values()]


def _plotted(lines: list[tuple[str, dict[str, Any]]]) -> tuple[str, PageImage]:
    # Imports matplotlib.
    from pmodel.plots.sweeps import curves_with_spread

    drawn = {}
    for label, curve in lines:
        points = zip(curve["x"], curve["y"], curve["error"], strict=True)
        finite = [(x, y, math.nan if error is None else error) for x, y, error in points if is_finite(y)]
        if finite:
            drawn[_plain(label)] = finite
    first = lines[0][1]
    title = label_of(first)
    labels = _plain(first["x_label"]), _plain(first["y_label"])
    buffer = io.BytesIO()
    Image.fromarray(curves_with_spread(drawn, *labels, "standard error", first["log_x"])).save(buffer, "PNG")
    return title, image_of(buffer.getvalue(), f"{title}: {', '.join(label for label, _ in lines)}")


def _plain(text: str) -> str:
    """A text that matplotlib takes neither for mathematics nor, in a legend, for a line without a name."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
