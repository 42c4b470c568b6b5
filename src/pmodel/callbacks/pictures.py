"""Pictures that any model can give which samples, reconstructs, or encodes and decodes."""

import math

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from pmodel.callbacks.figures import Figure
from pmodel.capabilities import Decodes, Encodes, Reconstructs, Samples, SamplesClasses, SamplesLatents
from pmodel.reporting.grids import columns_for, image_grid, side_by_side

# One seed for all of a run's noise in pictures: the same codes each time, so pictures compare over time and runs.
SEED = 0


def is_picture(x: Tensor) -> bool:
    """Whether examples (B, …) can be shown as pictures, (B, 1 or 3, H, W), and there are any."""
    return x.dim() == 4 and x.shape[1] in (1, 3) and len(x) > 0


def fixed_generator(device: torch.device) -> torch.Generator:
    """The start of the pictures' noise, on the device."""
    return torch.Generator(device=device).manual_seed(SEED)


class SampleGrid(Figure):
    """Draws from p_model with fixed noise; beside them, where there is a decoder, E[x | z] of the same codes z.

    Of a class-conditional model, draws for each class. 1-D and 2-D points are drawn as a cloud beside the
    validation split's.
    """

    name = "samples"

    def __init__(self, num_images: int = 64):
        self.num_images = num_images

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        if not isinstance(model, Samples):
            return None
        if isinstance(model, SamplesClasses) and model.num_classes is not None:
            return self._by_class(trainer, model, model.num_classes)
        x = model.sample(self.num_images, generator=fixed_generator(model.device))
        if not is_picture(x):
            return self._cloud(trainer, model) if x.dim() == 2 and x.shape[1] <= 2 else None
        columns = columns_for(self.num_images)
        panels = {"samples x ~ p(x)": image_grid(x, columns)}
        if isinstance(model, SamplesLatents) and isinstance(model, Decodes):
            z = model.sample_latents(self.num_images, generator=fixed_generator(model.device))
            panels = {"samples x ~ p(x | z), z ~ p(z)": panels.popitem()[1]}
            panels["means E[x | z] of the same z"] = image_grid(model.decode(z), columns)
        return side_by_side(panels)

    def _by_class(self, trainer: Trainer, model: SamplesClasses, num_classes: int) -> np.ndarray | None:
        """A block of draws for each class; of many classes the first few, so that each has four where there can be."""
        shown = min(num_classes, max(1, self.num_images // 4))
        # All blocks together are nearly a square.
        columns = max(1, round(math.sqrt(self.num_images) / shown))
        count = self.num_images // (shown * columns) * columns
        label = torch.arange(shown, device=model.device).repeat_interleave(count)
        x = model.sample_classes(label, generator=fixed_generator(model.device))
        if not is_picture(x):
            return None
        names = trainer.datamodule.class_names or range(num_classes)
        blocks = {str(name): image_grid(part, columns) for name, part in zip(names, x.split(count), strict=False)}
        title = "samples x ~ p(x | class)"
        if shown < num_classes:
            title += f", the first {shown} of {num_classes:,} classes"
        return side_by_side({title: side_by_side(blocks, gap=4)})

    def _cloud(self, trainer: Trainer, model: LightningModule) -> np.ndarray:
        from pmodel.reporting.plots import clouds

        real = trainer.datamodule.examples("validation", 2000).x
        samples = model.sample(len(real), generator=fixed_generator(model.device)).cpu()
        return clouds({"validation examples": real.numpy(), "samples x ~ p(x)": samples.numpy()})


class ReconstructionGrid(Figure):
    """Fixed validation pictures, and beside them what the model makes of each."""

    name = "reconstructions"

    def __init__(self, num_images: int = 32):
        self.num_images = num_images

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        if not isinstance(model, Reconstructs):
            return None
        x = trainer.datamodule.examples("validation", self.num_images).x
        if is_picture(x):
            columns = columns_for(len(x))
            y = model.reconstruct(x.to(model.device))
            return side_by_side(
                {"validation examples": image_grid(x, columns), "reconstructions": image_grid(y, columns)}
            )
        if x.dim() == 2 and x.shape[1] <= 2 and len(x) > 0:
            from pmodel.reporting.plots import clouds

            x = trainer.datamodule.examples("validation", 2000).x
            y = model.reconstruct(x.to(model.device)).cpu()
            return clouds({"validation examples": x.numpy(), "reconstructions": y.numpy()})
        return None


class Interpolations(Figure):
    """Straight lines between the codes of two validation pictures, decoded; the pictures themselves at both ends."""

    name = "interpolations"

    def __init__(self, num_pairs: int = 8, num_steps: int = 10):
        self.num_pairs, self.num_steps = num_pairs, num_steps

    def draw(self, trainer: Trainer, model: LightningModule) -> np.ndarray | None:
        if not (isinstance(model, Encodes) and isinstance(model, Decodes)):
            return None
        x = trainer.datamodule.examples("validation", 2 * self.num_pairs).x.to(model.device)
        if not is_picture(x) or len(x) < 2:
            return None
        x = x[: len(x) // 2 * 2]
        start, end = model.encode(x).unflatten(0, (2, -1))
        weights = torch.linspace(0, 1, self.num_steps, device=model.device)[:, None]
        rows = [
            torch.cat([first[None], model.decode(torch.lerp(a, b, weights)), last[None]])
            for a, b, first, last in zip(start, end, *x.unflatten(0, (2, -1)), strict=True)
        ]
        title = "decoded codes between two validation examples, which stand at the ends"
        return side_by_side({title: image_grid(torch.cat(rows), self.num_steps + 2)})
