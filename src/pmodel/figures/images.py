"""Images that any model can give which samples, reconstructs, or encodes and decodes."""

import math

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Decodes, Encodes, Reconstructs, Samples, SamplesClasses, SamplesLatents
from pmodel.figures.figure import Figure, NotShown, Scene, are_images, need, need_images
from pmodel.plots.grids import columns_for, image_grid, side_by_side
from pmodel.settings.ranges import Count, Two

# One seed for all of a run's noise in images: the same codes each time, so images compare over time and runs.
SEED = 0


def fixed_generator(device: torch.device) -> torch.Generator:
    """The start of the images' noise, on the device."""
    return torch.Generator(device=device).manual_seed(SEED)


def beside(scene: Scene, panels: dict[str, Tensor]) -> np.ndarray:
    """As many images (N, C, H, W), or points (N, 1) or (N, 2), in each panel, side by side below their titles."""
    (_, D, *is_image), *_ = (x.shape for x in panels.values())
    if is_image:
        return side_by_side({title: image_grid(x, columns_for(len(x))) for title, x in panels.items()})
    from pmodel.plots.plots import clouds

    return clouds({title: scene.restored(x.cpu()) for title, x in panels.items()}, scene.axis_names(D))


class SampleGrid(Figure):
    """Draws from p_model with fixed noise; beside them, where there is a decoder, E[x | z] of the same codes z.

    Not of a model whose draws are G(z) themselves, which would show each twice. Of a class-conditional model, draws for
    each class. 1-D and 2-D points are drawn as a cloud beside the validation split's.
    """

    group = "samples"
    caption = (
        "What the model drew from nothing but noise: compare how sharp images are and how varied, or where points "
        "lie and which places they miss."
    )

    def __init__(self, num_images: Count):
        self.num_images = num_images

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Samples)
        is_conditional = isinstance(model, SamplesClasses) and model.num_classes is not None
        if is_conditional and len(scene.data.shape) == 3:
            return self._by_class(scene, model, model.num_classes)
        x = model.sample(self.num_images, generator=fixed_generator(model.device))
        if not are_images(x):
            real, split = scene.held_out(2000)
            samples = model.sample(len(real), generator=fixed_generator(model.device))
            return beside(scene, {f"{split} examples": real, "samples x ~ p(x)": samples})
        panels = {"samples x ~ p(x)": x}
        if isinstance(model, SamplesLatents) and isinstance(model, Decodes):
            means = model.decode(model.sample_latents(self.num_images, generator=fixed_generator(model.device)))
            panels = {"samples x ~ p(x | z), z ~ p(z)": x, "means E[x | z] of the same z": means}
            # Not exactly, since some operations on a GPU differ from one time to the next.
            if (means - x).abs().mean() < 1e-3:
                panels = {"samples x = G(z), z ~ p(z)": x}
        return beside(scene, panels)

    def _by_class(self, scene: Scene, model: SamplesClasses, num_classes: int) -> np.ndarray:
        """A block of draws for each class; of many classes the first few, so that each has four where there can be."""
        shown = min(num_classes, max(1, self.num_images // 4))
        # All blocks together are nearly a square.
        columns = max(1, round(math.sqrt(self.num_images) / shown))
        count = self.num_images // (shown * columns) * columns
        label = torch.arange(shown, device=model.device).repeat_interleave(count)
        x = need_images(model.sample_classes(label, generator=fixed_generator(model.device)))
        names = scene.data.class_names or range(num_classes)
        blocks = {str(name): image_grid(part, columns) for name, part in zip(names, x.split(count), strict=False)}
        title = "samples x ~ p(x | class)"
        if shown < num_classes:
            title += f", the first {shown} of {num_classes:,} classes"
        return side_by_side({title: side_by_side(blocks, gap=4)})


class ReconstructionGrid(Figure):
    """Fixed validation images, and beside them what the model makes of each."""

    group = "reconstruction"
    caption = (
        "Held-out examples, and what is left of each after the model has encoded it and decoded it again: what "
        "is missing did not pass through the code."
    )

    def __init__(self, num_images: Count):
        self.num_images = num_images

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Reconstructs)
        x = scene.data.examples("validation", self.num_images).x
        if not are_images(x):
            x = scene.data.examples("validation", 2000).x
        return beside(scene, {"validation examples": x, "reconstructions": model.reconstruct(x.to(model.device))})


class Interpolations(Figure):
    """Straight lines between the codes of two validation images, decoded; the images themselves at both ends.

    Of a model that can't encode: great circles between two codes of the prior, and all that is shown is decoded.
    """

    group = "codes"
    caption = (
        "Codes on the way from one image to another, decoded: in a good latent space every step is itself an image."
    )

    def __init__(self, num_pairs: Count, num_steps: Two):
        self.num_pairs, self.num_steps = num_pairs, num_steps

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Decodes)
        weights = torch.linspace(0, 1, self.num_steps, device=model.device)
        ends = []
        if isinstance(model, Encodes):
            x = scene.images(2 * self.num_pairs).to(model.device)
            if len(x) < 2:
                raise NotShown("there is only one validation example")
            x = x[: len(x) // 2 * 2]
            ends = x.unflatten(0, (2, -1))
            start, end = model.encode(x).unflatten(0, (2, -1))
            codes = torch.lerp(start[:, None], end[:, None], weights[:, None])
            title = "decoded, between two validation examples, which stand at the ends"
        elif isinstance(model, SamplesLatents):
            z = model.sample_latents(2 * self.num_pairs, generator=fixed_generator(model.device)).float()
            start, end = z.unflatten(0, (2, -1))
            D = model.latent_dim
            # What follows the first D entries is a label.
            labels = torch.lerp(start[:, None, D:], end[:, None, D:], weights[:, None])
            codes = torch.cat([great_circle(start[:, :D], end[:, :D], weights), labels], 2)
            title = "decoded, on great circles between two draws z ~ p(z)"
        else:
            raise NotShown("the model has neither codes nor a prior of codes")
        rows = need_images(model.decode(codes.flatten(0, 1))).unflatten(0, codes.shape[:2])
        if len(ends):
            rows = torch.cat([ends[0][:, None], rows, ends[1][:, None]], 1)
        return side_by_side({title: image_grid(rows.flatten(0, 1), rows.shape[1])})


def great_circle(start: Tensor, end: Tensor, weights: Tensor) -> Tensor:
    """Codes between `start` and `end` (N, D), along the circle about 0 through both, (N, S, D), at `weights` (S,).

    Draws of a high-dimensional normal or uniform prior are about √D from 0, where a straight line between two of them
    is much nearer (White: Sampling Generative Networks, 2016, arXiv 1609.04468). Angle and length are interpolated; in
    the paper, where the two lengths are the same, only the angle. Where the directions are the same or opposite, or a
    code is 0, there is no one circle: a straight line.
    """
    start, end, weights = start[:, None], end[:, None], weights[:, None]
    from_, to = (torch.nn.functional.normalize(z, dim=2) for z in (start, end))
    angle = (from_ * to).sum(2, keepdim=True).clamp(-1, 1).acos()
    direction = (((1 - weights) * angle).sin() * from_ + (weights * angle).sin() * to) / angle.sin()
    lengths = start.norm(dim=2, keepdim=True), end.norm(dim=2, keepdim=True)
    one_circle = (angle.sin() > 1e-3) & (lengths[0] * lengths[1] > 0)
    return torch.where(one_circle, torch.lerp(*lengths, weights) * direction, torch.lerp(start, end, weights))
