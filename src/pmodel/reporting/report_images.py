"""Images and curves of a results document as they stand in a page."""

import base64
import io
import math
from typing import Any, NamedTuple

from PIL import Image

from pmodel.reporting.texts import error_text, grouped, is_finite, label_of, value_text


class PageImage(NamedTuple):
    """An image in the page, in its own pixels."""

    uri: str
    width: int
    height: int
    alt: str


class Curve(NamedTuple):
    """Curves of one name: the plot of all runs, and their values."""

    label: str
    image: PageImage
    x_label: str
    y_label: str
    x: list[str]
    rows: list[tuple[str, list[str]]]


def image_of(png: bytes, alt: str) -> PageImage:
    """A PNG as a data URI."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        width, height = image.size
    return PageImage(f"data:image/png;base64,{base64.b64encode(png).decode()}", width, height, alt)


def curves_of(runs: list[dict[str, Any]]) -> list[Curve]:
    """Each curve of the document, with all runs that have it in one plot."""
    found = grouped((curve["name"], (run["label"], curve)) for run in runs for curve in run.get("curves", []))
    return [_curve(lines) for lines in found.values()]


def _curve(lines: list[tuple[str, dict[str, Any]]]) -> Curve:
    # Imports matplotlib.
    from pmodel.plots.sweeps import curves_with_spread

    points: dict[str, dict[float, dict[str, float]]] = {}
    for label, curve in lines:
        errors = (math.nan if error is None else error for error in curve.get("error") or [None] * len(curve["x"]))
        triples = zip(curve["x"], curve["y"], errors, strict=True)
        points[label] = {x: {"value": y, "standard_error": error} for x, y, error in triples if is_finite(y)}
    first = lines[0][1]
    title = label_of(first)
    x_label, y_label = first.get("x_label", ""), first.get("y_label", "")
    drawn = {
        _plain(label): [(x, *point.values()) for x, point in by_x.items()] for label, by_x in points.items() if by_x
    }
    buffer = io.BytesIO()
    plot = curves_with_spread(drawn, _plain(x_label), _plain(y_label), "standard error", first.get("log_x", False))
    Image.fromarray(plot).save(buffer, "PNG")
    xs = sorted({x for _, curve in lines for x in curve["x"]})
    rows = [(label, [_point(by_x.get(x)) for x in xs]) for label, by_x in points.items()]
    labels = ", ".join(points)
    image = image_of(buffer.getvalue(), f"{title}: {labels}")
    return Curve(title, image, x_label, y_label, [f"{x:.6g}" for x in xs], rows)


def _point(number: dict[str, float] | None) -> str:
    if number is None:
        return "–"
    error = error_text(number)
    return value_text(number) + (f" ± {error}" if error else "")


def _plain(text: str) -> str:
    """A text that matplotlib takes neither for mathematics nor, in a legend, for a line without a name."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
