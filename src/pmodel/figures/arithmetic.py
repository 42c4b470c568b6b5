"""Sums and differences of codes, decoded."""

import math
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Decodes, Discriminates, SamplesClasses, SamplesLatents
from pmodel.features.dataset_network import feature_extractor
from pmodel.figures.figure import Figure, NotShown, Scene, need, need_images
from pmodel.figures.images import SEED, fixed_generator
from pmodel.plots.grids import captioned_grid, equations, side_by_side
from pmodel.settings.ranges import Count

# Codes that classes are looked for in, for each class.
DRAWS_PER_CLASS = 100
# At most, in each dimension of a code of variance 1: a quarter of such a uniform code's maximum, as in the paper.
NOISE = 0.25 * math.sqrt(3)
# Between images, in pixels.
GAP = 24


class CodeArithmetic(Figure):
    """G(mean code of class A) − the same of B + of C, and G of the sum of these codes; beside it, G(sum + noise).

    Radford et al.: Unsupervised Representation Learning with Deep Convolutional GANs, 2015, arXiv 1511.06434, section
    6.3.2: single codes gave unstable results, means of three did not; the sum of three such means has the variance of
    the prior. There a person chose the codes. Here a class-conditional code says its class itself, and else a
    classifier of the data says which codes' images it is surest of. For models trained against a discriminator.

    Args:
        num_rows: at most; as many as there are classes, if these are fewer.
        num_codes: averaged for each class; a class of which fewer are drawn is left out.
        num_variations: images of the sum with noise.
        cache_dir: keeps the weights of the classifier for the next run; None: nowhere.
    """

    group = "codes"
    caption = (
        "Codes added and subtracted like words in an analogy, then decoded: directions in the latent space "
        "can carry meaning."
    )

    def __init__(self, num_rows: Count, num_codes: Count, num_variations: Count, cache_dir: str | None) -> None:
        self.num_rows, self.num_codes, self.num_variations = num_rows, num_codes, num_variations
        self.cache_dir = None if cache_dir is None else Path(cache_dir)

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Discriminates, SamplesLatents, Decodes)
        generator = fixed_generator(model.device)
        need_images(model.decode(model.sample_latents(1, generator=generator)))
        means = self._mean_codes(scene, model, generator)
        chosen = triples(list(means), scene.data.num_classes)[: self.num_rows]
        if not chosen:
            raise NotShown(f"{self.num_codes} samples each of {len(means)} classes were found, not of 3")
        terms = torch.stack([torch.stack([means[k] for k in triple]) for triple in chosen])
        total = terms[:, 0] - terms[:, 1] + terms[:, 2]
        varied = total[:, None].repeat(1, self.num_variations, 1)
        z = varied[..., : model.latent_dim]
        z += NOISE * (2 * torch.rand(z.shape, generator=generator, device=z.device) - 1)
        codes = torch.cat([terms, total[:, None], varied], 1)
        shown = model.decode(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        names = scene.data.class_names
        captions = [[*(names[k] for k in triple), ""] for triple in chosen]
        variations = shown[:, 4:].flatten(0, 1)
        of_class = "1 code" if self.num_codes == 1 else f"mean of {self.num_codes} codes"
        panels = {
            f"G({of_class} of a class), and G of the sum of codes": equations(shown[:, :4], captions, "−+=", GAP),
            "G of the sum and noise": captioned_grid(variations, [""] * len(variations), self.num_variations, GAP),
        }
        return side_by_side(panels)

    def _mean_codes(self, scene: Scene, model: LightningModule, generator: torch.Generator) -> dict[int, Tensor]:
        """The mean code (D,) of each class, of those of which there are enough."""
        num_classes = scene.data.num_classes
        if num_classes is None:
            raise NotShown("the data have no labels")
        z = model.sample_latents(DRAWS_PER_CLASS * num_classes, generator=generator).float()
        if isinstance(model, SamplesClasses) and model.num_classes is not None:
            probabilities = z[:, model.latent_dim :]
        else:
            extractor = feature_extractor(scene.data, self.cache_dir).to(model.device)
            if extractor.num_classes is None:
                raise NotShown("no network tells the classes of the data")
            probabilities = extractor.classify(model.decode(z))
        best = {k: surest(probabilities, k, self.num_codes) for k in range(num_classes)}
        return {k: z[places].mean(0) for k, places in best.items() if len(places) == self.num_codes}


def surest(probabilities: Tensor, k: int, count: int) -> Tensor:
    """The places, `count` at most, of the highest p(k) where class k is the most probable of all, (N, K) → (count,)."""
    places = (probabilities.argmax(1) == k).nonzero()[:, 0]
    return places[probabilities[places, k].argsort(descending=True, stable=True)[:count]]


def triples(classes: list[int], num_classes: int | None) -> list[tuple[int, int, int]]:
    """As many triples of distinct classes as there are classes, each in the middle of one; none of fewer than three.

    Any three neighbours on a circle, on which all `num_classes` have a fixed random order.
    """
    if len(classes) < 3:
        return []
    order = torch.randperm(num_classes, generator=torch.Generator().manual_seed(SEED)).tolist()
    circle = [k for k in order if k in classes]
    return list(zip(circle, circle[1:] + circle[:1], circle[2:] + circle[:2], strict=True))
