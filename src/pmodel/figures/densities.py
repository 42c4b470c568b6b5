"""The density of a model of points, over the points."""

from collections.abc import Callable

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import GaussianComponents, LogProb
from pmodel.figures.figure import Figure, NotShown, Scene
from pmodel.figures.shapes import few_dimensions, not_few_dimensions
from pmodel.settings.ranges import Count

# Values at more points than that are asked for in parts: a kernel density compares each with all training examples.
PART = 4096


def values_at(points: np.ndarray, function: Callable[[Tensor], Tensor], device: torch.device) -> np.ndarray:
    """function, (B, D) → (B,), at points (N, D), in parts → (N,)."""
    parts = torch.from_numpy(points).float().split(PART)
    return torch.cat([function(part.to(device)).cpu() for part in parts]).numpy()


class DensityFigure(Figure):
    """p(x) over points that are drawn from the data: on the line a curve, in the plane regions of highest density.

    Beside a curve stands the true density, where the data know it, and the components of a Gaussian mixture; over the
    regions stand these components as ellipses. The points are of the validation split, else of the training split.
    """

    name = "density"
    title = "Density"
    caption = "The model's density below the points: the smallest regions that hold a share of it."
    keeps_history = True

    def __init__(self, num_points: Count):
        self.num_points = num_points

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray | NotShown:
        if not isinstance(model, LogProb):
            return NotShown("the model has no log_prob")
        if no_density := getattr(model, "no_density", None):
            return NotShown(f"no density: {no_density}")
        x, split = scene.held_out(self.num_points)
        if not few_dimensions(x):
            return not_few_dimensions(x)
        mean = values_at(x.numpy(), model.log_prob, model.device).mean(dtype=float) - scene.data.log_volume
        title = f"p(x) {scene.moment}, and {len(x):,} {split} points\nmean log p(x): {mean:.3f} nats"
        truth = self._true_log_prob(scene)
        if truth is not None:
            title += f" (of the true density: {truth(x).mean():.3f})"
        draw = self._on_line if x.shape[1] == 1 else self._on_plane
        return draw(scene, x.numpy(), model, truth, title.replace("-", "−"))

    def _true_log_prob(self, scene: Scene) -> Callable[[Tensor], Tensor] | None:
        """The data's own log_prob, if they have a formula for it."""
        data = scene.data
        if not isinstance(data, LogProb):
            return None
        try:
            data.log_prob(torch.zeros(1, *data.shape))
        except ValueError:
            return None
        return data.log_prob

    def _on_line(
        self,
        scene: Scene,
        x: np.ndarray,
        model: LightningModule,
        truth: Callable[[Tensor], Tensor] | None,
        title: str,
    ) -> np.ndarray:
        from pmodel.plots.densities import density_on_line
        from pmodel.plots.plots import axis_through

        axis = axis_through(x[:, 0], 1600)
        log_prob = values_at(axis[:, None], model.log_prob, model.device) - scene.data.log_volume
        densities = {"model p(x)": np.exp(log_prob)}
        if truth is not None:
            densities["true density"] = np.exp(values_at(axis[:, None], truth, torch.device("cpu")))
        (axis,) = scene.restored_axes([axis])
        parts = []
        if isinstance(model, GaussianComponents):
            weights, means, covariances = map(torch.from_numpy, scene.restored_gaussians(model))
            scales = covariances[:, 0, 0].sqrt()
            normal = torch.distributions.Normal(means[:, 0], scales, validate_args=False)
            parts = list((weights[:, None] * normal.log_prob(torch.from_numpy(axis)[:, None]).exp().T).numpy())
        return density_on_line(scene.restored(x)[:, 0], axis, densities, parts, title, *scene.axis_names(1))

    def _on_plane(
        self,
        scene: Scene,
        x: np.ndarray,
        model: LightningModule,
        truth: Callable[[Tensor], Tensor] | None,
        title: str,
    ) -> np.ndarray:
        from pmodel.plots.densities import density_on_plane
        from pmodel.plots.plots import axis_through, lattice

        across, up = axis_through(x[:, 0], 240), axis_through(x[:, 1], 240)
        log_density = values_at(lattice(across, up), model.log_prob, model.device).reshape(len(up), len(across))
        gaussians = scene.restored_gaussians(model) if isinstance(model, GaussianComponents) else None
        axes = scene.restored_axes([across, up])
        return density_on_plane(scene.restored(x), *axes, log_density, gaussians, title, scene.axis_names(2))
