"""Films of models of images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule

from pmodel.capabilities import (
    Clusters,
    ComponentsSoFar,
    Decodes,
    DrawsInOrder,
    Encodes,
    LogProbPerPixel,
    PrincipalComponents,
    Reconstructs,
    Samples,
    SamplesLatents,
)
from pmodel.figures.components import drawn_components
from pmodel.figures.figure import NotShown, Scene, need, need_images
from pmodel.figures.film import Film, When, after
from pmodel.figures.images import fixed_generator
from pmodel.figures.latents import cells, grouped_by_label, need_two_latents
from pmodel.figures.over_time import has_noisy_decoder
from pmodel.plots.frame import axis_through
from pmodel.plots.grids import captioned_grid, columns_for, hidden, image_grid, in_colour, side_by_side
from pmodel.settings.ranges import Count, Two

# Of images that are drawn pixel by pixel.
MOST_FRAMES = 32
# Points that are part of each checkpoint; enough for the length of arrows.
MOST_SEEN = 2000


def need_image_data(scene: Scene) -> None:
    """Raises NotShown unless the data can be shown as images."""
    need_images(torch.empty(1, *scene.data.shape))


class ComponentsFilm(Film):
    """The mean and the first principal directions of the examples so far, of more and more: as images, or in the plane
    as arrows over these examples.

    Args:
        num_components: at most.
    """

    frames_per_second = 4.0

    def __init__(self, num_components: Count):
        self.num_components = num_components
        # The directions of the last frame, (M, D), and points in the plane so far.
        self.state: dict[str, Any] = {"directions": None, "seen": []}

    def when(self, model: LightningModule) -> When:
        return "batches"

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, PrincipalComponents, ComponentsSoFar)
        if len(scene.data.shape) == 3:
            need_image_data(scene)
        elif tuple(scene.data.shape) != (2,):
            raise NotShown("the data are neither images nor points in the plane")

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        found = model.components_so_far()
        if found is None:
            return
        mean, directions, shares, count = found
        directions = directions[: self.num_components].cpu()
        if before := self.state["directions"]:
            # u and −u are the same direction: the one that is nearer to the last frame's.
            old = torch.tensor(before, dtype=directions.dtype)
            sign = (old * directions.flatten(1)).sum(1).sign()
            directions = directions * torch.where(sign == 0, 1, sign).view(-1, *[1] * (directions.dim() - 1))
        self.state["directions"] = directions.flatten(1).tolist()
        if directions.dim() == 4:
            yield drawn_components(scene, mean, directions, shares, self.num_components, f" of {count:,} examples")
            return
        from pmodel.plots.films import axes_frame

        x, seen = scene.data.examples("train", 1000).x.double(), torch.tensor(self.state["seen"], dtype=torch.float64)
        deviations = (shares.cpu() * seen.var(0).sum()).sqrt()
        mean = mean.cpu()
        tips = mean + deviations[: len(directions), None] * directions
        frame = scene.frame([axis_through(column, 2) for column in x.numpy().T], f"principal axes of {count:,} points")
        yield axes_frame(*map(scene.restored, (x, seen, mean, tips)), frame)

    def see(self, model: LightningModule, batch: Any) -> None:
        x = model.step_batch(batch).x
        if x.dim() == 2:
            self.state["seen"] += x[: MOST_SEEN - len(self.state["seen"])].tolist()


class CentresFilm(Film):
    """The centres of clusters as images, each at its own place.

    Args:
        num_centres: at most.
    """

    frames_per_second = 3.0

    def __init__(self, num_centres: Count):
        self.num_centres = num_centres

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, Clusters)
        need_image_data(scene)

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        centres, shares = (part.cpu()[: self.num_centres] for part in model.clusters())
        captions = ["" if scene.epochs == 0 else f"{share:.1%}" for share in shares.tolist()]
        grid = captioned_grid(centres, captions, columns_for(len(centres)))
        yield side_by_side({f"centres {after(scene.epochs, 'step')}": grid})


class CodesFilm(Film):
    """The plane of codes of two dimensions: where held-out examples lie, by class, and what is decoded there.

    Args:
        num_examples: held-out ones.
        num_per_axis: rows and columns of what is decoded.
    """

    def __init__(self, num_examples: Count, num_per_axis: Two):
        self.num_examples, self.num_per_axis = num_examples, num_per_axis
        # How far the plane has reached.
        self.state: float = 0.0

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, Encodes)
        need_image_data(scene)
        need_two_latents(model)

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        from pmodel.plots.films import codes_frame

        split = "validation" if scene.data.split_sizes.get("validation") else "train"
        x, label = scene.data.examples(split, self.num_examples)
        z = model.encode(x.to(model.device)).float().cpu()
        if not z.isfinite().all():
            return
        # That of N(0, I), or where there is no prior as far as codes reach; it never shrinks, so nothing trembles.
        reach = 3.0 if isinstance(model, SamplesLatents) else 1.15 * float(z.abs().flatten().quantile(0.995))
        self.state = limit = max(self.state, reach, 1e-3)
        decoded, n = None, self.num_per_axis
        if isinstance(model, Decodes):
            lattice = torch.from_numpy(cells([-limit, limit, -limit, limit], n)).to(model.device, z.dtype)
            decoded = image_grid(model.decode(lattice), n, gap=0)
        of_group, groups = grouped_by_label(scene, label)
        title = after(step, "step")
        yield codes_frame(z.numpy(), of_group, groups, limit, decoded, title)


class RowsFilm(Film):
    """How a model draws images pixel by pixel: what is still to come is a blue chequerboard.

    The pixels come in the model's order, a few more in each frame. What is drawn stays as it is, so the frames are
    parts of finished images.

    Args:
        num_images: at once.
    """

    def __init__(self, num_images: Count):
        self.num_images = num_images

    def when(self, model: LightningModule) -> When:
        return "end"

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, Samples, DrawsInOrder)
        need_image_data(scene)

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        x = model.sample(self.num_images, generator=fixed_generator(model.device)).float().cpu()
        H, W = x.shape[2:]
        order, known = model.drawing_order(), torch.zeros(H * W, dtype=torch.bool)
        stride = -(-H * W // MOST_FRAMES)
        for count in [*range(0, H * W, stride), H * W]:
            known[order[:count]] = True
            shown = hidden(x, known.view(1, 1, H, W).expand_as(x))
            yield side_by_side({f"{count} of {H * W} pixels": image_grid(shown, columns_for(len(x)))})


class ImagesFilm(Film):
    """What a model makes of the same noise; of a model that draws nothing, of the same held-out images, below them.

    With a noisy decoder E[x | z] of the same codes z, whose change no noise hides.

    Args:
        num_images: in a frame.
    """

    def __init__(self, num_images: Count):
        self.num_images = num_images

    def check(self, scene: Scene, model: LightningModule) -> None:
        if isinstance(model, LogProbPerPixel):
            raise NotShown("to draw pixel by pixel again and again would take too long")
        if not isinstance(model, Samples):
            need(model, Reconstructs)
        need_image_data(scene)

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        generator, moment = fixed_generator(model.device), after(step, "step")
        if not isinstance(model, Samples):
            x = scene.held_out(self.num_images // 2)[0]
            made = model.reconstruct(x.to(model.device)).float().cpu()
            both = torch.stack([in_colour(x), in_colour(made)], 1).flatten(0, 1)
            grid = image_grid(both, 2 * max(1, columns_for(len(both)) // 2))
            yield side_by_side({f"images, and what is left of each, {moment}": grid})
            return
        if has_noisy_decoder(model):
            x = model.decode(model.sample_latents(self.num_images, generator=generator))
        else:
            x = model.sample(self.num_images, generator=generator)
        grid = image_grid(x.float().cpu(), columns_for(len(x)))
        yield side_by_side({f"samples of the same noise, {moment}": grid})
