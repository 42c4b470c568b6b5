"""All autoregressive models in small versions with random weights, and images for them."""

import copy
import math
from collections.abc import Callable
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple

import reach
import torch
from support import CONFIG_DIR, config
from torch import Tensor

from pmodel.instantiate import instantiate


class Small(NamedTuple):
    """A small version of a model."""

    settings: dict[str, Any]
    depth: str | None  # the setting that is the number of layers
    reach: Callable[[reach.Shape, int], reach.Layer]
    learner: dict[str, Any]  # of one that learns images by heart
    learning_rate: float = 1e-2
    order: Callable[[reach.Shape], list[reach.SubPixel]] = reach.raster_order


WIDTHS = {"hidden_channels": 9, "head_channels": 12, "first_kernel_size": 3}
FAMILY = {
    "fvsbn": Small({}, None, reach.everything, {}, learning_rate=5e-2),
    "nade": Small({"hidden_dim": 7}, None, reach.everything, {"hidden_dim": 100}, learning_rate=3e-2),
    "pixel_transformer": Small(
        {"hidden_dim": 8, "num_heads": 2}, "num_layers", reach.everything, {"num_layers": 2}, learning_rate=5e-3
    ),
    "pixelcnn": Small(
        {**WIDTHS, "num_blocks": 2, "kernel_size": 3},
        "num_blocks",
        partial(reach.pixelcnn, first_kernel=3),
        {"num_blocks": 3},
    ),
    "pixelcnn_gated": Small(
        {**WIDTHS, "num_layers": 3}, "num_layers", partial(reach.gated_pixelcnn, first_kernel=3), {"num_layers": 3}
    ),
    "pixelcnn_pp": Small(
        {"hidden_channels": 6, "num_blocks": 1, "num_scales": 2, "num_mixtures": 3},
        "num_blocks",
        reach.pixelcnn_pp,
        {"num_blocks": 2, "num_scales": 1, "dropout": 0},
        learning_rate=5e-3,
    ),
    "pixelrnn": Small(
        {**WIDTHS, "num_layers": 2}, "num_layers", partial(reach.diagonal_lstm, first_kernel=3), {"num_layers": 2}
    ),
    "pixelrnn_multiscale": Small(
        {**WIDTHS, "num_small_layers": 1, "num_layers": 1, "condition_features": 5},
        "num_layers",
        partial(reach.multiscale, first_kernel=3),
        {},
        order=reach.multiscale_order,
    ),
    "pixelrnn_row": Small(
        {**WIDTHS, "num_layers": 2}, "num_layers", partial(reach.row_lstm, first_kernel=3), {"num_layers": 2}
    ),
}
MODELS = sorted(file.stem for file in (CONFIG_DIR / "model").glob("*.yaml"))


@cache
def defaults(name: str) -> dict[str, Any]:
    return config(f"model={name}")["model"]


def small(name: str, shape: list[int], num_levels: int = 2, num_classes: int | None = None, **settings: Any) -> Any:
    """The small model in float64 with random weights, told the label if there are classes."""
    data = {
        "data_shape": shape,
        "num_levels": num_levels,
        "num_classes": num_classes,
        "class_conditional": num_classes is not None,
    }
    # Levels of other numbers than the default data's: the likelihood that is for any.
    if "likelihood" in defaults(name):
        data["likelihood"] = "bernoulli" if num_levels == 2 else "categorical"
    settings = {**defaults(name), **FAMILY[name].settings, **data, **settings}
    if "num_scales" in settings:
        settings["num_scales"] = min(settings["num_scales"], min(shape[1:]).bit_length())
    torch.manual_seed(0)
    return randomized(instantiate(settings).double().eval())


def randomized(model: Any, seed: int = 0) -> Any:
    """A copy with every number of every parameter moved at random: no mask, gate or initial state is left at zero."""
    generator = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(model)
    with torch.no_grad():
        for p in model.parameters():
            scale = p.std() if p.dim() > 1 and p.any() else 0.3
            p += scale * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return model


def all_images(shape: list[int], num_levels: int) -> Tensor:
    """Every image there is, float64."""
    levels = product(range(num_levels), repeat=math.prod(shape))
    return torch.tensor(list(levels), dtype=torch.float64).view(-1, *shape) / (num_levels - 1)


def random_images(n: int, shape: list[int], num_levels: int) -> Tensor:
    return torch.randint(num_levels, (n, *shape), generator=torch.Generator().manual_seed(1)) / (num_levels - 1)
