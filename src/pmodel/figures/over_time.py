"""How the draws of a model change while it trains."""

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from pmodel.capabilities import Decodes, Discriminates, LogProbPerPixel, Samples, SamplesLatents
from pmodel.figures.figure import Figure, NotShown, Scene, are_images, evaluating, need, scene_of
from pmodel.figures.images import fixed_generator
from pmodel.figures.widget import Widget, epochs_widget, named, tiles_of
from pmodel.plots.grids import image_grid, labelled_rows, side_by_side
from pmodel.processes.launch import is_first
from pmodel.settings.ranges import Count, Two

# In a cloud of points.
NUM_POINTS = 500
# Of the images of one epoch, where they stand by themselves.
COLUMNS = 6


def kept_epochs(epoch: int, num_rows: int) -> range:
    """Epochs 1, 1 + s, 1 + 2s, … up to `epoch`, fewer than `num_rows`; s is the smallest power of two for that. What a
    later epoch keeps, all earlier ones from there on have kept too."""
    stride = 1
    while len(range(1, epoch + 1, stride)) >= num_rows:
        stride *= 2
    return range(1, epoch + 1, stride)


class SamplesOverTime(Figure):
    """Draws from the same fixed noise after several epochs: a row for each, evenly spread, and one for the newest.

    Of models with a decoder, E[x | z] of the same codes z. Points in the plane are clouds over the validation split's.
    Not of models that draw images pixel by pixel: it would take longer than their training. The rows are part of the
    checkpoint.

    Args:
        num_images: in a row.
        num_rows: at most.
    """

    group = "samples"
    caption = "The same noise after more and more epochs: what a model learns first, and what last."

    def __init__(self, num_images: Count, num_rows: Two):
        self.num_images, self.num_rows = num_images, num_rows
        # By epoch: images (num_images, C, H, W), uint8, or points (NUM_POINTS, 2), float32; on the CPU.
        self.state: dict[int, Tensor] = {}

    def note(self, trainer: Trainer) -> None:
        model, scene = trainer.lightning_module, scene_of(trainer)
        kept = kept_epochs(scene.epochs, self.num_rows)
        self.state = {earlier: drawn for earlier, drawn in self.state.items() if earlier in kept}
        if scene.epochs in kept and is_first() and model.fitted:
            with suppress(NotShown), evaluating(trainer, model):
                self.state[scene.epochs] = self._drawn(scene, model)

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        images, rows = self._are_images(scene, model), self._rows(scene, model)
        rows = {named(epoch): x for epoch, x in rows.items()}
        what = "E[x | z] of the same z" if images and has_noisy_decoder(model) else "samples of the same noise"
        title = f"{what} while the model trains"
        return side_by_side({title: labelled_rows(rows)}) if images else _clouds(scene, rows, title)

    def widget(self, scene: Scene, model: LightningModule) -> Widget:
        images, rows = self._are_images(scene, model), self._rows(scene, model)
        tiles = {epoch: _grid(x) if images else _clouds(scene, {named(epoch): x}, "") for epoch, x in rows.items()}
        words = "What the model makes of the same noise after more and more epochs."
        return epochs_widget("Samples, epoch by epoch", words, tiles, scene.epochs)

    def _rows(self, scene: Scene, model: LightningModule) -> dict[int, Tensor]:
        """What was drawn after each epoch, and what is drawn now: images in [0, 1], or points; as many in each."""
        images = self._are_images(scene, model)
        need_earlier(self.state, scene)
        # The newest again: training may have ended within an epoch.
        rows = {**self.state, scene.epochs: self._drawn(scene, model)}
        count = min(map(len, rows.values()))
        return {epoch: rows[epoch][:count].float() / 255 if images else rows[epoch][:count] for epoch in sorted(rows)}

    def _are_images(self, scene: Scene, model: LightningModule) -> bool:
        """Whether rows are of images, and not of points in the plane; raises NotShown if there are none."""
        need(model, Samples)
        images = are_images(torch.empty(1, *scene.data.shape), (2,))
        if images and isinstance(model, LogProbPerPixel):
            raise NotShown("to draw pixel by pixel after each epoch would take too long")
        return images

    def _drawn(self, scene: Scene, model: LightningModule) -> Tensor:
        images, generator = self._are_images(scene, model), fixed_generator(model.device)
        n = self.num_images if images else NUM_POINTS
        # The noise of p(x | z) would hide what changes.
        if images and has_noisy_decoder(model):
            x = model.decode(model.sample_latents(n, generator=generator))
        else:
            x = model.sample(n, generator=generator)
        x = x.float().cpu()
        return (255 * x.clamp(0, 1)).round().byte() if images else x


def _grid(x: Tensor) -> np.ndarray:
    return image_grid(torch.from_numpy(tiles_of(x)).permute(0, 3, 1, 2) / 255, COLUMNS)


def _clouds(scene: Scene, rows: dict[str, Tensor], title: str) -> np.ndarray:
    from pmodel.plots.plots import clouds_over

    real, _ = scene.held_out(1000)
    return clouds_over(scene.restored(real), {label: scene.restored(x) for label, x in rows.items()}, title)


def need_earlier(history: dict[int, Any], scene: Scene) -> None:
    """Raises NotShown unless a history, by epoch, goes back beyond the newest one."""
    if not set(history) - {scene.epochs}:
        raise NotShown("there is no earlier epoch to compare with")


def has_noisy_decoder(model: LightningModule) -> bool:
    """Whether draws are E[x | z] with noise, and not G(z) themselves."""
    return isinstance(model, SamplesLatents) and isinstance(model, Decodes) and not isinstance(model, Discriminates)
