"""What examples can be shown as, by their shape, and if not, why."""

from torch import Tensor

from pmodel.figures.figure import NotShown


def is_image(x: Tensor) -> bool:
    """Whether examples (B, …) can be shown as images, (B, 1 or 3, H, W), and there are any."""
    return x.dim() == 4 and x.shape[1] in (1, 3) and len(x) > 0


def few_dimensions(x: Tensor) -> bool:
    """Whether examples are points on the line or in the plane, (B, 1 or 2), and there are any."""
    return x.dim() == 2 and x.shape[1] in (1, 2) and len(x) > 0


def not_images(x: Tensor, split: str = "validation") -> NotShown:
    """Why examples of a split, (B, …), can't be shown as images."""
    if len(x) == 0:
        return NotShown(f"there are no {split} examples")
    if x.dim() == 4:
        return NotShown(f"the images have {x.shape[1]} channels, not 1 or 3")
    return NotShown("the data are points, not images")


def not_few_dimensions(x: Tensor, few: str = "1 or 2") -> NotShown:
    """Why examples (B, …) can't be shown as points of a few dimensions."""
    if len(x) == 0:
        return NotShown("there are no examples")
    if x.dim() != 2:
        return NotShown("the data are images, not points")
    return NotShown(f"the points have {dimensions(x.shape[1])}, not {few}")


def dimensions(D: int) -> str:
    return "1 dimension" if D == 1 else f"{D} dimensions"
