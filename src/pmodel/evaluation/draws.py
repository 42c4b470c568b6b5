"""Draws of a model in parts, each with noise of its own: those that are measured, and those that become files."""

import hashlib
import time
from typing import Any

import torch
from torch import Generator, Tensor

from pmodel.features.inception import in_bytes

# Of all noise of an evaluation.
SEED = 0
# Examples that are drawn at once; each part has noise of its own, so that any number of devices draws the same.
PART = 500


def part_seed(part: int, seed: int = SEED) -> int:
    """Of the noise of one part: those of one evaluation differ, those of two models are the same.

    A hash, lest it is the seed of somebody's data too.
    """
    return int.from_bytes(hashlib.sha256(f"evaluation {seed}, part {part}".encode()).digest()[:7])


def draw_part(
    model: Any, part: int, device: torch.device, size: int = PART, seed: int = SEED, label: Tensor | None = None
) -> tuple[Tensor, float]:
    """Part number `part` of a model's draws, (size, …), on the CPU, and the seconds that it took.

    label: (size,) int64, the classes that are drawn; None: what `sample` draws
    """
    generator = Generator(device).manual_seed(part_seed(part, seed))
    begin = time.perf_counter()
    with torch.no_grad():
        if label is None:
            x = model.sample(size, generator=generator)
        else:
            x = model.sample_classes(label.to(device), generator=generator)
        return x.cpu(), time.perf_counter() - begin


def image_bytes(x: Tensor) -> Tensor:
    """Draws (n, C, H, W) as uint8, rounded as Inception gets them.

    Raises:
        ValueError: of one line, if one is not finite, and so no image.
    """
    if not x.isfinite().all():
        raise ValueError("the model draws numbers that are not finite, which are no images")
    return in_bytes(x.float())
