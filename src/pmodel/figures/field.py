"""What a discriminator says of each point, with the points that it is shown."""

import numpy as np
from lightning.pytorch import LightningModule

from pmodel.capabilities import Discriminates, Samples
from pmodel.figures.densities import values_at
from pmodel.figures.figure import Figure, NotShown, Scene
from pmodel.figures.images import fixed_generator
from pmodel.figures.shapes import few_dimensions, not_few_dimensions
from pmodel.settings.ranges import Count


class DiscriminatorField(Figure):
    """D(x) over the plane, below real and generated points; on the line a curve over their histograms.

    The curve is that of figure 1 of Generative Adversarial Nets (2014, arXiv 1406.2661). The real points are of the
    validation split, else of the training split.
    """

    name = "discriminator"
    title = "The discriminator's verdicts"
    caption = "Where the discriminator takes a point for real and where for generated, at the end of the game."
    keeps_history = True

    def __init__(self, num_points: Count):
        self.num_points = num_points

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
        if not (isinstance(model, Samples) and isinstance(model, Discriminates)):
            return NotShown("only for models trained against a discriminator")
        real, split = scene.held_out(self.num_points)
        if not few_dimensions(real):
            return not_few_dimensions(real)
        from pmodel.plots.fields import axis_over, field_on_line, field_on_plane
        from pmodel.plots.plots import lattice

        generated = model.sample(len(real), generator=fixed_generator(model.device)).float().cpu().numpy()
        real, generated = real.numpy(), generated[np.isfinite(generated).all(1)]
        axes = [
            axis_over(*columns, 400 if real.shape[1] == 1 else 160) for columns in zip(real.T, generated.T, strict=True)
        ]
        label = getattr(model, "units", {}).get("d_real", "D(x)")
        title = f"D(x) {scene.moment}, {len(real):,} {split} points and as many samples"
        if real.shape[1] == 1:
            verdicts = values_at(axes[0][:, None], model.discriminate, model.device)
            real, generated = scene.restored(real), scene.restored(generated)
            names = scene.axis_names(1)
            return field_on_line(
                real[:, 0], generated[:, 0], *scene.restored_axes(axes), verdicts, label, title, *names
            )
        verdicts = values_at(lattice(*axes), model.discriminate, model.device).reshape(160, 160)
        clouds = scene.restored(real), scene.restored(generated)
        return field_on_plane(*clouds, *scene.restored_axes(axes), verdicts, label, title, scene.axis_names(2))
