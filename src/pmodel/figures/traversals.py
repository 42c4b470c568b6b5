"""What each dimension of a code does to the image."""

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Decodes, Encodes, SamplesLatents
from pmodel.figures.figure import Figure, NotShown, Scene, need, need_images
from pmodel.figures.images import fixed_generator
from pmodel.figures.widget import Widget, decoded
from pmodel.plots.grids import image_grid, labelled_rows, side_by_side
from pmodel.settings.ranges import Count, Two

# Codes that the ranges are taken from.
NUM_CODES = 2000
# Dimensions of a code: of more, such as those of a flow, which has one for each pixel, none stands for much.
MOST_DIMENSIONS = 300
# Of these codes, the quantiles at which a row begins and ends.
ENDS = (0.01, 0.99)
# Sliders, the values of each, and the pixels of the images of all combinations of these.
MOST_SLIDERS, LEAST_VALUES, MOST_VALUES, MOST_PIXELS = 4, 5, 9, 1_050_000


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
        code, low, high = self._ranges(scene, model)
        paths = traversals(code, low, high, self.num_steps)
        order = _by_change(model, paths)[: self.num_rows]
        rows = {f"z{k + 1}: {low[k]:.2g} … {high[k]:.2g}".replace("-", "−"): model.decode(paths[k]) for k in order}
        over = "one dimension at a time from the 1 % to the 99 % quantile"
        if not isinstance(model, Encodes):
            return side_by_side({f"a draw z ~ p(z), {over} of p(z)": labelled_rows(rows)})
        x, split = scene.held_out(1)
        return side_by_side(
            {f"{split} example": image_grid(x, 1), f"its code, {over} of training codes": labelled_rows(rows)}
        )

    def widget(self, scene: Scene, model: LightningModule) -> Widget:
        code, low, high = self._ranges(scene, model)
        order = _by_change(model, traversals(code, low, high, self.num_steps))
        # As many values as all combinations may have pixels, but rather fewer sliders than too few values.
        pixels = MOST_PIXELS / np.prod(decoded(model, code[None]).shape[1:3])
        K = next((K for K in range(MOST_SLIDERS, 1, -1) if len(low) >= K and pixels >= LEAST_VALUES**K), 1)
        chosen, S = order[:K], int(np.clip(pixels ** (1 / K), LEAST_VALUES, MOST_VALUES))
        values = [torch.linspace(low[k].item(), high[k].item(), S) for k in chosen]
        z = code.repeat(S ** len(chosen), 1)
        z[:, chosen] = torch.cartesian_prod(*values).view(len(z), -1).to(z)
        start = [(each - code[k].cpu()).abs().argmin().item() for k, each in zip(chosen, values, strict=True)]
        words = "Each latent goes from its 1\u00a0% to its 99\u00a0% quantile."
        if len(chosen) < len(low):
            example = f"the code of a {scene.held_out(1)[1]} example"
            whose = example if isinstance(model, Encodes) else "a draw from the prior"
            words += f" Of {len(low)}, these change the image most; the others stay as they are in {whose}."
        latents = [[f"z{k + 1}", each.tolist()] for k, each in zip(chosen, values, strict=True)]
        return Widget("sliders", "Turn latents", words, decoded(model, z), {"latents": latents, "start": start})

    def _ranges(self, scene: Scene, model: LightningModule) -> tuple[Tensor, Tensor, Tensor]:
        """The code (D,), and the ends of the range of each of its first M entries, (M,), (M,)."""
        need(model, Decodes)
        if isinstance(model, Encodes):
            code = model.encode(need_images(scene.held_out(1)[0]).to(model.device))[0]
            if len(code) > MOST_DIMENSIONS:
                raise NotShown(f"the code has {len(code)} dimensions, of which each one changes little")
            examples = scene.data.examples("train", NUM_CODES).x
            codes = torch.cat([model.encode(part.to(model.device)) for part in examples.split(500)])
        elif isinstance(model, SamplesLatents):
            z = model.sample_latents(NUM_CODES, generator=fixed_generator(model.device)).float()
            code, codes = z[0], z[:, : model.latent_dim]
        else:
            raise NotShown("the model has neither codes nor a prior of codes")
        if not codes.isfinite().all():
            raise NotShown("some of the codes are not finite")
        need_images(model.decode(code[None]))
        low, high = np.quantile(codes.double().cpu().numpy(), ENDS, axis=0)
        return code, torch.from_numpy(low).to(code), torch.from_numpy(high).to(code)


def _by_change(model: LightningModule, paths: Tensor) -> list[int]:
    """The dimensions by how much their paths (M, S, D) change the image, the most first."""
    # One dimension at a time: of long codes and large images, all would not fit.
    change = [mean_squared_change(model.decode(path)) for path in paths]
    return sorted(range(len(change)), key=lambda k: -change[k])


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
