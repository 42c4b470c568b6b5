"""Maps of a latent space: codes decoded on a grid, and where examples lie."""

from typing import Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule

from pmodel.capabilities import Assigns, Decodes, Discriminates, Encodes, SamplesLatents
from pmodel.figures.data import class_names
from pmodel.figures.figure import Figure, NotShown, Scene, dimensions, is_image, need, need_images
from pmodel.figures.images import SEED
from pmodel.plots.grids import image_grid, on_axes, side_by_side, to_uint8
from pmodel.settings.ranges import Count, Two, Whole


def need_two_latents(model: LightningModule) -> None:
    """Raises NotShown unless the codes of a model that has some are points in the plane."""
    D = getattr(model, "latent_dim", None)
    if D != 2:
        raise NotShown("the model has no latent_dim" if D is None else f"the code has {dimensions(D)}, not 2")


class LatentManifold(Figure):
    """Decoded codes on a grid of equal probability under N(0, I): z = Φ⁻¹(u) for u evenly spaced in (0, 1).

    Figure 4 of Auto-Encoding Variational Bayes (2013, arXiv 1312.6114).
    """

    group = "codes"
    caption = (
        "Points on a lattice in the plane of codes, decoded where they lie: neighbours look alike, and "
        "classes have regions."
    )

    def __init__(self, num_per_axis: Two):
        self.num_per_axis = num_per_axis

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Decodes, SamplesLatents)
        if isinstance(model, Discriminates):
            raise NotShown("not for models trained against a discriminator, whose prior may be uniform")
        if not getattr(model, "has_exact_kl", True):
            raise NotShown("the prior of the codes is not N(0, I)")
        need_two_latents(model)
        n = self.num_per_axis
        axis = torch.special.ndtri((torch.arange(n) + 0.5) / n)
        # Rows from top to bottom are z2 from high to low, as on a plot's axes.
        z = torch.stack([axis.repeat(n), axis.flip(0).repeat_interleave(n)], dim=1)
        x = need_images(model.decode(z.to(model.device)))
        # About five numbers at each axis, the first and the last among them.
        shown = {round(i * (n - 1) / 4) for i in range(5)}
        numbers = [f"{value:.2f}".replace("-", "−") if i in shown else "" for i, value in enumerate(axis.tolist())]
        grid = on_axes(image_grid(x, n, gap=0), numbers, numbers[::-1], ("z₁", "z₂"))
        return side_by_side({"E[x | z] on a grid of equal probability in z": grid})


class LatentScatter(Figure):
    """The codes of validation examples in the plane, coloured by their labels, which the model has not seen, with some
    of the examples where their codes are.

    Codes of more than two dimensions are projected by `projection`: `pca`, on the two directions in which they vary
    most; `tsne` (van der Maaten & Hinton, Visualizing Data using t-SNE, 2008), which keeps neighbours and no distances.
    Clusters of points in the plane are in the figure of clusters.

    Args:
        num_images: on the map, at most; none, as of runs that were saved before there was a map.
    """

    group = "codes"
    caption = (
        "Each point is the code of a held-out example, coloured by its class, which the model was never told: "
        "classes that lie apart are told apart by the code."
    )

    def __init__(self, num_examples: Count, num_images: Whole = 0, projection: Literal["pca", "tsne"] = "pca"):
        self.num_examples, self.num_images, self.projection = num_examples, num_images, projection

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, Encodes)
        x, label = scene.data.examples("validation", self.num_examples)
        if len(x) < 3:
            raise NotShown("there are fewer than 3 validation examples")
        if isinstance(model, Assigns) and x.dim() == 2 and x.shape[1] <= 2:
            raise NotShown("the codes say to which cluster a point belongs: see clusters")
        z = torch.cat([model.encode(part.to(model.device)).cpu() for part in x.split(1000)]).double().numpy()
        if not np.ptp(z, axis=0).any():
            raise NotShown("all examples have the same code")
        title = f"codes of {len(z):,} validation examples {scene.moment}"
        numbers = label.unique().tolist()
        groups = [class_names(scene.data)(k) for k in numbers]
        if z.shape[1] == 1:
            from pmodel.plots.plots import grouped

            return grouped({group: z[label == k] for group, k in zip(groups, numbers, strict=True)}, ["z"], title)
        places, axes = (z, ["z₁", "z₂"]) if z.shape[1] == 2 else projected(z, self.projection)
        from pmodel.plots.codes import code_map

        images = to_uint8(x) if is_image(x) and self.num_images else None
        of_group = np.searchsorted(numbers, label.numpy())
        return code_map(places, of_group, groups, axes, title, images, self.num_images)


def projected(z: np.ndarray, projection: Literal["pca", "tsne"]) -> tuple[np.ndarray, list[str]]:
    """Codes (N, D) with D > 2 in the plane, (N, 2), and the names of its axes."""
    D = z.shape[1]
    if projection == "tsne":
        from sklearn.manifold import TSNE

        # Of few examples, no more neighbours than there are.
        perplexity = min(30.0, (len(z) - 1) / 3)
        places = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(z)
        return places, [f"t-SNE of the code's {D} dimensions: only who is near whom means something", ""]
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full" if D <= 1000 else "randomized", random_state=SEED).fit(z)
    shares = [f"{share:.0%} of the variance" for share in pca.explained_variance_ratio_]
    return pca.transform(z), [
        f"{which} principal component of the code's {D} dimensions, {share}"
        for which, share in zip(("first", "second"), shares, strict=True)
    ]
