"""The density of a model of points, over the points."""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import GaussianComponents, LogProb, UnnormalizedLogProb
from pmodel.figures.figure import Figure, NotShown, Scene, need, need_points
from pmodel.plots.frame import axis_through, lattice
from pmodel.settings.ranges import Count

# Values at more points than that are asked for in parts: a kernel density compares each with all training examples.
PART = 4096


def values_at(points: np.ndarray, function: Callable[[Tensor], Tensor], device: torch.device) -> np.ndarray:
    """function, (B, D) → (B,), at points (N, D), in parts → (N,)."""
    parts = torch.from_numpy(points).float().split(PART)
    return torch.cat([function(part.to(device)).cpu() for part in parts]).numpy()


def on_lattice(axes: Sequence[np.ndarray], function: Callable[[Tensor], Tensor], device: torch.device) -> np.ndarray:
    """The same at all combinations of coordinates (M,), or (M,) across and (N,) up → (M,), or (N, M)."""
    return values_at(lattice(*axes), function, device).reshape([len(axis) for axis in reversed(axes)])


def log_integral(axes: Sequence[np.ndarray], log_values: np.ndarray) -> float:
    """log ∫ exp f over a lattice, of f at its points, as `on_lattice` gives it."""
    log_volumes = reduce(np.add.outer, [np.log(np.gradient(axis)) for axis in reversed(axes)])
    return float(np.logaddexp.reduce(log_values + log_volumes, axis=None))


class DensityFigure(Figure):
    """p(x) over points that are drawn from the data: on the line a curve, in the plane regions of highest density.

    A density that the model knows but for a factor is divided by its sum over the lattice that is drawn, so what lies
    outside counts as 0.
    Beside a curve stands the true density, where the data know it, and the components of a Gaussian mixture; over the
    regions stand these components as ellipses. The points are of the validation split, else of the training split.
    """

    group = "likelihood"
    caption = "The model's density below the points: the smallest regions that hold a share of it."
    keeps_history = True

    def __init__(self, num_points: Count):
        self.num_points = num_points

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        unnormalized = isinstance(model, UnnormalizedLogProb) and not isinstance(model, LogProb)
        need(model, UnnormalizedLogProb if unnormalized else LogProb)
        if no_density := getattr(model, "no_density", None):
            raise NotShown(f"no density: {no_density}")
        x, split = scene.held_out(self.num_points)
        points = need_points(x).numpy()
        is_line = x.shape[1] == 1
        axes = [axis_through(column, 1600 if is_line else 240) for column in points.T]
        function = model.unnormalized_log_prob if unnormalized else model.log_prob
        log_prob = on_lattice(axes, function, model.device)
        log_factor = log_integral(axes, log_prob) if unnormalized else 0.0
        log_prob = log_prob - log_factor
        mean = values_at(points, function, model.device).mean(dtype=float) - log_factor - scene.data.log_volume
        title = f"p(x) {scene.moment}, and {len(x):,} {split} points\nmean log p(x): {mean:.3f} nats"
        title += ", normalized over the area shown" * unnormalized
        truth = None
        if isinstance(scene.data, LogProb):
            title += f" (of the true density: {scene.data.log_prob(x).mean():.3f})"
            truth = scene.data.log_prob
        from pmodel.plots.densities import density_on_line, density_on_plane

        frame = scene.frame(axes, title.replace("-", "−"))
        gaussians = scene.restored_gaussians(model) if isinstance(model, GaussianComponents) else None
        if not is_line:
            return density_on_plane(scene.restored(points), frame, log_prob, gaussians)
        densities = {"model p(x)": np.exp(log_prob - scene.data.log_volume)}
        if truth is not None:
            densities["true density"] = np.exp(on_lattice(axes, truth, torch.device("cpu")))
        return density_on_line(scene.restored(points), frame, densities, gaussians)
