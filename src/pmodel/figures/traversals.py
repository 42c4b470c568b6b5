"""What each dimension of a code does to the image."""

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Decodes, Encodes, SamplesLatents
from pmodel.figures.figure import Figure, NotShown, Scene, need, need_images
from pmodel.figures.images import fixed_generator
from pmodel.plots.grids import image_grid, labelled_rows, side_by_side
from pmodel.settings.ranges import Count, Two

# Codes that the ranges are taken from.
NUM_CODES = 2000
# Of these codes, the quantiles at which a row begins and ends.
ENDS = (0.01, 0.99)


class Traversals(Figure):
    """Images of one code of which one dimension at a time runs over its range: a row for each dimension.

    The code is that of the first validation example, which stands beside; of a model that can't encode, a draw from
    the prior. The range goes from the 1 % to the 99 % quantile of that dimension in the codes of training examples, or
    in draws from the prior. The dimensions that change the image most come first: by its squared distance to the
    mean of its row, averaged over the row and the pixels. What follows the first `latent_dim` entries of a drawn code
    is a label, and stays.

    After figure 1 of Higgins et al.: β-VAE (ICLR 2017). There the range is [−3, 3], which says nothing of codes that
    have another scale than the prior, or that have none.

    Args:
        num_rows: at most; as many as the code has dimensions, if these are fewer.
        num_steps: images in a row.
    """

    group = "codes"
    caption = (
        "One latent coordinate changes along each row while all others stay: what this coordinate stands for, "
        "if anything."
    )

    def __init__(self, num_rows: Count, num_steps: Two):
        self.num_rows, self.num_steps = num_rows, num_steps

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Decodes)
        panels = {}
        if isinstance(model, Encodes):
            x, split = scene.held_out(1)
            panels[f"{split} example"] = image_grid(need_images(x), 1)
            code = model.encode(x.to(model.device))[0]
            examples = scene.data.examples("train", NUM_CODES).x
            codes = torch.cat([model.encode(part.to(model.device)) for part in examples.split(500)])
            title = "its code, one dimension at a time from the 1 % to the 99 % quantile of training codes"
        elif isinstance(model, SamplesLatents):
            z = model.sample_latents(NUM_CODES, generator=fixed_generator(model.device)).float()
            code, codes = z[0], z[:, : model.latent_dim]
            title = "a draw z ~ p(z), one dimension at a time from the 1 % to the 99 % quantile of p(z)"
        else:
            raise NotShown("the model has neither encode nor sample_latents")
        need_images(model.decode(code[None]))
        low, high = np.quantile(codes.double().cpu().numpy(), ENDS, axis=0)
        paths = traversals(code, torch.from_numpy(low).to(code), torch.from_numpy(high).to(code), self.num_steps)
        # One dimension at a time: of long codes and large images, all would not fit.
        change = [mean_squared_change(model.decode(path)) for path in paths]
        order = sorted(range(len(change)), key=lambda k: -change[k])[: self.num_rows]
        rows = {f"z{k + 1}: {low[k]:.2g} … {high[k]:.2g}".replace("-", "−"): model.decode(paths[k]) for k in order}
        return side_by_side({**panels, title: labelled_rows(rows)})


def traversals(code: Tensor, low: Tensor, high: Tensor, num_steps: int) -> Tensor:
    """A code (D,) with its k-th entry at num_steps S even places from low[k] to high[k], for each k < M: (M, S, D)."""
    weights = torch.linspace(0, 1, num_steps, device=code.device)
    paths = code.repeat(len(low), num_steps, 1)
    k = torch.arange(len(low), device=code.device)
    paths[k, :, k] = torch.lerp(low[:, None], high[:, None], weights)
    return paths


def mean_squared_change(x: Tensor) -> float:
    """The squared distance of images (S, …) to their mean, averaged over them and their pixels."""
    return (x - x.mean(0)).double().square().mean().item()
