"""Sums and differences of codes, decoded."""

import math
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Decodes, Discriminates, Encodes, SamplesClasses, SamplesLatents
from pmodel.features.dataset_network import feature_extractor
from pmodel.figures.figure import Figure, NotShown, Scene, need, need_images
from pmodel.figures.images import SEED, fixed_generator
from pmodel.plots.grids import captioned_grid, equations, side_by_side
from pmodel.settings.ranges import Count

# Codes that classes are looked for in, for each class.
DRAWS_PER_CLASS = 100
# At most, in standard deviations along each dimension: a quarter of a uniform code's maximum, as in the paper.
NOISE = 0.25 * math.sqrt(3)
# Examples that are encoded, at most, to have codes of each class.
NUM_EXAMPLES = 2000
# Between images, in pixels.
GAP = 24


class CodeArithmetic(Figure):
    """g(mean code of class A) − the same of B + of C, and g of the sum of these codes; beside it, g(sum + noise).

    Radford et al.: Unsupervised Representation Learning with Deep Convolutional GANs, 2015, arXiv 1511.06434, section
    6.3.2: single codes gave unstable results, means of three did not; the sum of three such means has the variance of
    the prior. There a person chose the codes. Here a model that encodes gives those of validation examples, whose
    classes are known. Of the others' draws, a class-conditional code says its class itself, and else a classifier of
    the data says which codes' images it is surest of. Noise is in standard deviations of the codes.

    Args:
        num_rows: at most; as many as there are classes, if these are fewer.
        num_codes: averaged for each class; a class of which there are fewer is left out.
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
        need(model, Decodes)
        if not isinstance(model, Encodes | SamplesLatents):
            raise NotShown("the model has neither codes nor a prior of codes")
        if scene.data.num_classes is None:
            raise NotShown("the data have no labels")
        generator = fixed_generator(model.device)
        means, deviations = (
            self._of_examples(scene, model) if isinstance(model, Encodes) else self._of_draws(scene, model, generator)
        )
        chosen = triples(list(means), scene.data.num_classes)[: self.num_rows]
        if not chosen:
            what = "examples" if isinstance(model, Encodes) else "samples"
            raise NotShown(f"{self.num_codes} {what} each of {len(means)} classes were found, not of 3")
        terms = torch.stack([torch.stack([means[k] for k in triple]) for triple in chosen])
        total = terms[:, 0] - terms[:, 1] + terms[:, 2]
        varied = total[:, None].repeat(1, self.num_variations, 1)
        z = varied[..., : len(deviations)]
        z += NOISE * deviations * (2 * torch.rand(z.shape, generator=generator, device=z.device) - 1)
        codes = torch.cat([terms, total[:, None], varied], 1)
        shown = need_images(model.decode(codes.flatten(0, 1))).unflatten(0, codes.shape[:2])
        names = scene.data.class_names
        captions = [[*(names[k] for k in triple), ""] for triple in chosen]
        variations = shown[:, 4:].flatten(0, 1)
        g = "G" if isinstance(model, Discriminates) else "g"
        of_class = "1 code" if self.num_codes == 1 else f"mean of {self.num_codes} codes"
        panels = {
            f"{g}({of_class} of a class), and {g} of the sum of codes": equations(shown[:, :4], captions, "−+=", GAP),
            f"{g} of the sum and noise": captioned_grid(variations, [""] * len(variations), self.num_variations, GAP),
        }
        return side_by_side(panels)

    def _of_examples(self, scene: Scene, model: LightningModule) -> tuple[dict[int, Tensor], Tensor]:
        """The mean code (D,) of the first validation examples of each class of which there are enough; and the standard
        deviation of the codes of all, (D,)."""
        x, label = scene.data.examples("validation", NUM_EXAMPLES)
        need_images(x)
        z = torch.cat([model.encode(part.to(model.device)) for part in x.split(500)]).float()
        places = {k: (label == k).nonzero()[: self.num_codes, 0] for k in range(scene.data.num_classes)}
        means = {k: z[of.to(z.device)].mean(0) for k, of in places.items() if len(of) == self.num_codes}
        return means, z.std(0, correction=0)

    def _of_draws(
        self, scene: Scene, model: LightningModule, generator: torch.Generator
    ) -> tuple[dict[int, Tensor], Tensor]:
        """The same of draws from the prior, which has variance 1; without what a code says of its class."""
        need_images(model.decode(model.sample_latents(1, generator=generator)))
        num_classes = scene.data.num_classes
        z = model.sample_latents(DRAWS_PER_CLASS * num_classes, generator=generator).float()
        if isinstance(model, SamplesClasses) and model.num_classes is not None:
            probabilities = z[:, model.latent_dim :]
        else:
            extractor = feature_extractor(scene.data, self.cache_dir).to(model.device)
            if extractor.num_classes is None:
                raise NotShown("no network tells the classes of the data")
            probabilities = extractor.classify(model.decode(z))
        best = {k: surest(probabilities, k, self.num_codes) for k in range(num_classes)}
        means = {k: z[places].mean(0) for k, places in best.items() if len(places) == self.num_codes}
        return means, z.new_ones(model.latent_dim)


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
