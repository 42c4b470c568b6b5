"""Coordinates that the line or the plane is drawn over; of numpy alone, since matplotlib takes long to import."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Epochs and a number at each.
Curve = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Frame:
    """What a plot of the line or the plane shows.

    axes: rising coordinates, (M,) on the line; (M,), across, and (N,), up, in the plane
    names: of the axes
    """

    axes: Sequence[np.ndarray]
    names: Sequence[str]
    title: str

    def size(self, width: float) -> tuple[float, float]:
        """Width and height, in inches, of a plot that shows the plane to scale."""
        return width, float(np.clip(0.85 * width * ratio(*self.axes) + 1.1, 3.2, 1.1 * width))

    @property
    def extent(self) -> list[float]:
        """The ends of all axes."""
        return [end for axis in self.axes for end in axis[[0, -1]].tolist()]

    def put_around(self, plot: Any) -> None:
        """Gives matplotlib's axes these ranges, names and title."""
        for axis, name, letter in zip(self.axes, self.names, "xy", strict=False):
            plot.set(**{f"{letter}lim": (axis[0], axis[-1]), f"{letter}label": name})
        plot.set_title(self.title)
        if len(self.axes) == 2:
            plot.set_aspect("equal" if to_scale(*self.axes) else "auto")


def to_scale(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether these coordinates' ranges are drawn to scale; not if that would make a thin strip."""
    return bool(np.ptp(x) / 4 < np.ptp(y) < 4 * np.ptp(x))


def ratio(x: np.ndarray, y: np.ndarray) -> float:
    """The height of a plot of these coordinates by its width."""
    return np.ptp(y) / np.ptp(x) if to_scale(x, y) else 1.0


def axis_through(values: np.ndarray, count: int) -> np.ndarray:
    """Rising coordinates over the range of values (N,) and 15 % beyond: half of them even, half where the values are.

    So a mode much narrower than the range has many of them too. At most `count`, and at least 2.
    """
    low, high = values.min(), values.max()
    margin = 0.15 * (high - low) or 1.0
    dense = np.quantile(values, np.linspace(0, 1, count - count // 2))
    return np.unique(np.concatenate([np.linspace(low - margin, high + margin, max(2, count // 2)), dense]))


def lattice(*axes: np.ndarray) -> np.ndarray:
    """All combinations of coordinates (M,), or (M,) and (N,), as points (M, 1), or (N · M, 2), row by row."""
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(axes))
