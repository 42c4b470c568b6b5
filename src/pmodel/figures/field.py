"""What a discriminator says of each point, with the points that it is shown."""

from collections.abc import Callable

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Discriminates, Samples
from pmodel.figures.densities import on_lattice
from pmodel.figures.figure import Figure, Scene, need, need_points
from pmodel.figures.images import fixed_generator
from pmodel.settings.ranges import Count


class DiscriminatorField(Figure):
    """D(x) over the plane, below real and generated points; on the line a curve over their histograms.

    The curve is that of figure 1 of Generative Adversarial Nets (2014, arXiv 1406.2661). The real points are of the
    validation split, else of the training split.
    """

    group = "samples"
    caption = "Where the discriminator takes a point for real and where for generated, at the end of the game."
    keeps_history = True

    def __init__(self, num_points: Count):
        self.num_points = num_points

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Discriminates, Samples)
        real, split = scene.held_out(self.num_points)
        need_points(real)
        title = f"D(x) {scene.moment}, {len(real):,} {split} points and as many samples"
        from pmodel.plots.fields import axis_over, field_on_line, field_on_plane

        generated = generated_beside(real, model)
        draw, count = (field_on_line, 400) if real.shape[1] == 1 else (field_on_plane, 160)
        axes = [axis_over(*columns, count) for columns in zip(real.numpy().T, generated.T, strict=True)]
        return drawn_field(draw, scene, model, real, generated, axes, title)


def generated_beside(real: Tensor, model: LightningModule) -> np.ndarray:
    """As many samples as there are real points (N, D), without those that are not finite."""
    generated = model.sample(len(real), generator=fixed_generator(model.device)).float().cpu().numpy()
    return generated[np.isfinite(generated).all(1)]


def drawn_field(
    draw: Callable,
    scene: Scene,
    model: LightningModule,
    real: Tensor,
    generated: np.ndarray,
    axes: list[np.ndarray],
    title: str,
) -> np.ndarray:
    """D(x) over these axes, below the points, as a function of `pmodel.plots.fields` draws it."""
    verdicts = on_lattice(axes, model.discriminate, model.device)
    label = getattr(model, "units", {}).get("d_real", "D(x)")
    return draw(scene.restored(real), scene.restored(generated), scene.frame(axes, title), verdicts, label)
