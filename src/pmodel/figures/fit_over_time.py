"""How clusters of points move from where they start to where they stay."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer

from pmodel.capabilities import Assigns, Clusters, GaussianComponents, LogProb
from pmodel.figures.densities import values_at
from pmodel.figures.figure import Figure, Scene, evaluating, need, need_points, scene_of
from pmodel.figures.over_time import need_earlier
from pmodel.figures.widget import Widget, epochs_widget, named
from pmodel.plots.frame import axis_through
from pmodel.processes.launch import is_first
from pmodel.settings.ranges import Count, Two


class FitOverTime(Figure):
    """Points in the plane by cluster, with the centres, and the Gaussians of a mixture, at the start, after 1, 2, 4, …
    epochs and after the newest: a panel for each, of which the first and the last are always shown.

    Above each stands how good the fit is: the mean log p(x) of the points, or their mean squared distance to the
    centres. What is drawn is part of the checkpoint.

    Args:
        num_points: training points.
        num_panels: at most.
    """

    group = "clusters"
    caption = (
        "The clusters from their start on: what each epoch moved, and how much better the fit became; the last epochs "
        "of a fit that has converged look alike."
    )
    notes_start = True

    def __init__(self, num_points: Count, num_panels: Two):
        self.num_points, self.num_panels = num_points, num_panels
        # By epoch: labels (N,), centres (K, 2), the value above the panel, and of a mixture weights and covariances.
        self.state: dict[int, dict[str, Any]] = {}

    def note(self, trainer: Trainer) -> None:
        model, scene = trainer.lightning_module, scene_of(trainer)
        is_power = scene.epochs & (scene.epochs - 1) == 0
        if is_power and is_first() and is_shown(scene, model):
            with evaluating(trainer, model):
                self.state[scene.epochs] = fit_of(self._points(scene), scene, model)

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        fits = self._fits(scene, model)
        panels = spread(sorted(fits), self.num_panels)
        count = len(fits[scene.epochs]["labels"])
        title = f"{count:,} training points; {above(model)} above each"
        return self._drawn(scene, {epoch: fits[epoch] for epoch in panels}, title)

    def widget(self, scene: Scene, model: LightningModule) -> Widget:
        fits = self._fits(scene, model)
        tiles = {epoch: self._drawn(scene, {epoch: fits[epoch]}, "") for epoch in sorted(fits)}
        words = f"The clusters after more and more epochs; the number above them is the {above(model)}."
        return epochs_widget("Clusters, epoch by epoch", words, tiles, scene.epochs)

    def _fits(self, scene: Scene, model: LightningModule) -> dict[int, dict[str, Any]]:
        """The state with what it is now, of as many points in each: a run may have noted more or fewer."""
        need(model, Assigns, Clusters)
        need_points(torch.empty(1, *scene.data.shape), (2,))
        need_earlier(self.state, scene)
        fits = {**self.state, scene.epochs: fit_of(self._points(scene), scene, model)}
        count = min(len(fit["labels"]) for fit in fits.values())
        return {epoch: fit | {"labels": fit["labels"][:count]} for epoch, fit in fits.items()}

    def _drawn(self, scene: Scene, fits: dict[int, dict[str, Any]], title: str) -> np.ndarray:
        """A panel for each epoch."""
        from pmodel.plots.clusters import Fit, fits_on_plane

        count = len(next(iter(fits.values()))["labels"])
        x, panels = self._points(scene)[:count], {}
        for epoch, fit in fits.items():
            value = f"{fit['value']:.4g}".replace("-", "−")
            gaussians = scene.restored_gaussian_parts(*fit["gaussians"]) if "gaussians" in fit else None
            centres = scene.restored(fit["centres"])
            panels[f"{named(epoch)}: {value}"] = Fit(fit["labels"].numpy(), centres, gaussians)
        frame = scene.frame([axis_through(column, 2) for column in x.T], title)
        return fits_on_plane(scene.restored(x), panels, frame)

    def _points(self, scene: Scene) -> np.ndarray:
        return scene.data.examples("train", self.num_points).x.numpy()


def fit_of(x: np.ndarray, scene: Scene, model: LightningModule) -> dict[str, Any]:
    """Of points x (N, D) as the model has them: labels (N,), centres (K, D), how good the fit is, and of a mixture
    `gaussians`: weights, means and covariances."""
    labels = torch.from_numpy(values_at(x, model.assign, model.device))
    centres = model.clusters()[0].cpu().double()
    if isinstance(model, LogProb):
        value = values_at(x, model.log_prob, model.device).mean(dtype=float) - scene.data.log_volume
    else:
        value = float((torch.from_numpy(x) - centres[labels]).square().sum(1).mean())
    found = {"labels": labels, "centres": centres.clone(), "value": float(value)}
    if isinstance(model, GaussianComponents):
        found["gaussians"] = [part.cpu().double().clone() for part in model.gaussian_components()]
    return found


def above(model: LightningModule) -> str:
    """What the number above a panel is."""
    return "mean log p(x)" if isinstance(model, LogProb) else "mean squared distance"


def is_shown(scene: Scene, model: LightningModule) -> bool:
    """Whether these are clusters of points in the plane."""
    return isinstance(model, Assigns) and isinstance(model, Clusters) and tuple(scene.data.shape) == (2,)


def spread(epochs: list[int], most: int) -> list[int]:
    """So many of the epochs at most, evenly spread, the first and the last among them."""
    places = {round(i) for i in np.linspace(0, len(epochs) - 1, min(most, len(epochs)))}
    return [epochs[i] for i in sorted(places)]
