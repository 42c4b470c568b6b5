"""Films of models of points on the line and in the plane."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import (
    Assigns,
    Clusters,
    Discriminates,
    Encodes,
    GaussianComponents,
    HasBandwidths,
    LogProb,
    Samples,
)
from pmodel.figures.densities import DensityFigure, on_lattice
from pmodel.figures.field import drawn_field, generated_beside
from pmodel.figures.figure import NotShown, Scene, need, need_points
from pmodel.figures.film import Film, When, after
from pmodel.figures.fit_over_time import above, fit_of
from pmodel.figures.fits import NARROWEST, WIDEST
from pmodel.figures.images import fixed_generator
from pmodel.plots.frame import axis_through
from pmodel.settings.ranges import Count, Two

CPU = torch.device("cpu")
# Of so many steps.
BOTH_HALVES = 10


def need_shape(scene: Scene, few: tuple[int, ...]) -> None:
    """Raises NotShown unless the data are points of so few dimensions."""
    need_points(torch.empty(1, *scene.data.shape), few)


def even_axes(points: np.ndarray, count: int, margin: float = 0.15) -> list[np.ndarray]:
    """Even coordinates (count,) over the range of each column of points (N, D), and `margin` of it beyond."""
    low, high = points.min(0), points.max(0)
    beyond = margin * (high - low) + 1e-6
    return [np.linspace(*ends, count) for ends in zip(low - beyond, high + beyond, strict=True)]


class ClustersFilm(Film):
    """Points in the plane by cluster, their regions, and the way of the centres; of a mixture its Gaussians, and each
    point in the colours of all that may have made it.

    Both halves of each of the first ten steps are frames: what belongs where, then where the centres move; of later
    steps only the end.

    Args:
        num_points: training points.
    """

    frames_per_second = 3.0

    def __init__(self, num_points: Count):
        self.num_points = num_points
        # The epoch of the last frame, the centres at each moment, (K, 2), and the shares of the points (N, K).
        self.state: dict[str, Any] = {}

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, Assigns, Clusters)
        need_shape(scene, (2,))

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        x = scene.data.examples("train", self.num_points).x.numpy()
        fit, before, epoch = fit_of(x, scene, model), self.state, scene.epochs
        is_mixture = isinstance(model, GaussianComponents) and isinstance(model, Encodes)
        if is_mixture:
            shares = model.encode(torch.from_numpy(x).to(model.device)).cpu()
        else:
            shares = torch.nn.functional.one_hot(fit["labels"], len(fit["centres"])).float()
        path = [*before.get("path", []), fit["centres"]]
        self.state = {"epoch": epoch, "path": path, "shares": shares}
        value = f"{above(model)} {fit['value']:.4g}".replace("-", "−")
        axes = even_axes(x, 300)

        def regions(centres: Tensor) -> np.ndarray | None:
            return None if is_mixture else on_lattice(axes, lambda x: torch.cdist(x.double(), centres).argmin(1), CPU)

        gaussians = scene.restored_gaussian_parts(*fit["gaussians"]) if "gaussians" in fit else None
        points, shown = scene.restored(x), np.stack([scene.restored(places) for places in path])

        def drawn(shares: Tensor | None, regions: np.ndarray | None, words: str) -> np.ndarray:
            from pmodel.plots.films import clusters_frame

            frame = scene.frame(axes, words)
            return clusters_frame(points, None if shares is None else shares.numpy(), shown, gaussians, regions, frame)

        if epoch == 0:
            yield drawn(None, None, "the start")
        elif before.get("epoch") == epoch - 1 and epoch <= BOTH_HALVES:
            movers = "Gaussians" if is_mixture else "centres"
            yield drawn(before["shares"], regions(path[-2]), f"step {epoch}: {movers} move; {value}")
        yield drawn(shares, regions(path[-1]), f"step {epoch + 1}: points choose; {value}")


class BandwidthsFilm(Film):
    """A kernel density from narrow kernels to wide ones, and how likely each makes held-out examples.

    Args:
        num_points: training points, below the density.
        num_bandwidths: from an eighth of the one that is used to eight times as much.
    """

    def __init__(self, num_points: Count, num_bandwidths: Two):
        self.num_points, self.num_bandwidths = num_points, num_bandwidths

    def when(self, model: LightningModule) -> When:
        return "end"

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, HasBandwidths, LogProb)
        need_shape(scene, (1, 2))

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        from pmodel.plots.films import kernels_frame

        x = scene.data.examples("train", self.num_points).x
        axes = even_axes(x.numpy(), 400 if x.shape[1] == 1 else 100)
        ratios = torch.logspace(*np.log10([NARROWEST, WIDEST]), self.num_bandwidths, dtype=torch.float64)
        log_prob = model.held_out_log_prob(ratios.to(model.device)).cpu() - scene.data.log_volume
        widths = ((model.bandwidths.cpu() * torch.as_tensor(scene.data.scale).cpu()).mean() * ratios).numpy()
        truth = None
        if isinstance(scene.data, LogProb) and len(axes) == 1:
            truth = np.exp(on_lattice(axes, scene.data.log_prob, CPU))
        for now, ratio in enumerate(ratios):
            with _widened(model, ratio):
                density = np.exp(on_lattice(axes, model.log_prob, model.device) - scene.data.log_volume)
            frame = scene.frame(axes, f"kernels of width {widths[now]:.3g}")
            yield kernels_frame(scene.restored(x), frame, density, truth, (widths, log_prob.numpy()), now)


@contextmanager
def _widened(model: LightningModule, ratio: Tensor) -> Iterator[None]:
    """The model with kernels so many times as wide."""
    own = model.bandwidths.clone()
    model.bandwidths.mul_(ratio.to(own.device))
    try:
        yield
    finally:
        model.bandwidths.copy_(own)


class GameFilm(Film):
    """The two players: D(x) as a field, and where G's samples of the same noise lie.

    Args:
        num_points: real ones, and as many generated ones.
    """

    def __init__(self, num_points: Count):
        self.num_points = num_points

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, Discriminates, Samples)
        need_shape(scene, (1, 2))

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        from pmodel.plots.fields import field_on_line
        from pmodel.plots.films import game_frame

        real, _ = scene.held_out(self.num_points)
        draw, count = (field_on_line, 400) if real.shape[1] == 1 else (game_frame, 80)
        axes, generated = even_axes(real.numpy(), count, 0.4), generated_beside(real, model)
        yield drawn_field(draw, scene, model, real, generated, axes, f"D(x) {after(step, 'step')}")


class DensityFilm(Film):
    """p(x) over the points, as it changes.

    Args:
        num_points: held-out ones.
    """

    frames_per_second = 4.0

    def __init__(self, num_points: Count):
        self._figure = DensityFigure(num_points)

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, LogProb)
        need_shape(scene, (1, 2))
        if getattr(model, "no_density", None):
            raise NotShown("no density")

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        if getattr(model, "fitted", True):
            yield self._figure.draw(scene, model)


class CloudFilm(Film):
    """Samples of the same noise over real points in the plane.

    Args:
        num_points: real ones, and as many generated ones.
    """

    def __init__(self, num_points: Count):
        self.num_points = num_points

    def check(self, scene: Scene, model: LightningModule) -> None:
        need(model, Samples)
        need_shape(scene, (2,))

    def frames(self, scene: Scene, model: LightningModule, step: int) -> Iterator[np.ndarray]:
        from pmodel.plots.films import cloud_frame

        real, _ = scene.held_out(self.num_points)
        generated = model.sample(len(real), generator=fixed_generator(model.device)).float().cpu()
        axes = [axis_through(column, 2) for column in real.numpy().T]
        frame = scene.frame(axes, f"samples {after(step, 'step')}")
        yield cloud_frame(scene.restored(real), scene.restored(generated), frame)
