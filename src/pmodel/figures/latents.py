"""Maps of a latent space: codes decoded on a grid, and where examples lie."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from pmodel.capabilities import Assigns, Decodes, Discriminates, Encodes, SamplesLatents
from pmodel.figures.data import class_names
from pmodel.figures.figure import Figure, NotShown, Scene, dimensions, is_image, need, need_images
from pmodel.figures.images import SEED
from pmodel.figures.widget import Widget, decoded, tiles_of
from pmodel.plots.frame import lattice, to_scale
from pmodel.plots.grids import image_grid, on_axes, side_by_side, to_uint8
from pmodel.plots.palette import cluster_color
from pmodel.settings.ranges import Count, Two, Whole

# Pixels of the examples that a page's reader can point at, and of what is decoded on a lattice of that many cells a
# side.
MOST_PIXELS, MOST_CELLS = 500_000, 25


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
        x, label, z = self._codes(scene, model)
        title = f"codes of {len(z):,} validation examples {scene.moment}"
        of_group, groups = grouped_by_label(scene, label)
        if z.shape[1] == 1:
            from pmodel.plots.plots import grouped

            return grouped({group: z[of_group == k] for k, group in enumerate(groups)}, ["z"], title)
        from pmodel.plots.codes import code_map

        plane = plane_of(z, self.projection)
        images = to_uint8(x) if is_image(x) and self.num_images else None
        return code_map(plane.places, of_group, groups, plane.axes, title, images, self.num_images)

    def widget(self, scene: Scene, model: LightningModule) -> Widget:
        x, label, z = self._codes(scene, model)
        need_images(x)
        if z.shape[1] == 1:
            raise NotShown("the code has 1 dimension, not 2 or more")
        plane = plane_of(z, self.projection)
        # As many as the tiles may be large, of examples and of the plane.
        size = int(np.prod(tiles_of(x[:1]).shape[1:3]))
        count, n = MOST_PIXELS // size, min(MOST_CELLS, int((MOST_PIXELS / size) ** 0.5))
        box = left, right, bottom, top = box_around(plane.places[:count])
        tiles = [tiles_of(x[:count])]
        words = "Point at a dot to see its example."
        if isinstance(model, Decodes) and plane.back is not None:
            codes = plane.back(cells(box, n))
            tiles.append(decoded(model, torch.from_numpy(codes).to(model.encode(x[:1].to(model.device)).dtype)))
            words = "Drag the cross to see what is decoded there; point at a dot to see its example."
            if z.shape[1] > 2:
                words += " What is decoded lies in the plane of the two components, through the mean of all codes."
        of_group, groups = grouped_by_label(scene, label)
        relative = (plane.places[:count] - (left, bottom)) / (right - left, top - bottom)
        values = {
            "points": relative.round(4).tolist(),
            "groups": of_group[:count].tolist(),
            "names": groups,
            "colors": [cluster_color(k) for k in range(len(groups))],
            "box": box,
            "axes": [name for name in plane.axes if name],
            "lattice": n if len(tiles) > 1 else 0,
        }
        return Widget("plane", "Walk among codes", words, np.concatenate(tiles), values)

    def _codes(self, scene: Scene, model: LightningModule) -> tuple[Tensor, Tensor, np.ndarray]:
        """Validation examples (N, …), their labels (N,) and codes (N, D)."""
        need(model, Encodes)
        x, label = scene.data.examples("validation", self.num_examples)
        if len(x) < 3:
            raise NotShown("there are fewer than 3 validation examples")
        if isinstance(model, Assigns) and x.dim() == 2 and x.shape[1] <= 2:
            raise NotShown("the codes say to which cluster a point belongs: see clusters")
        z = torch.cat([model.encode(part.to(model.device)).cpu() for part in x.split(1000)]).double().numpy()
        if not np.isfinite(z).all():
            raise NotShown("some of the codes are not finite")
        if not np.ptp(z, axis=0).any():
            raise NotShown("all examples have the same code")
        return x, label, z


def grouped_by_label(scene: Scene, label: Tensor) -> tuple[np.ndarray, list[str]]:
    """For each label (N,) the number of its group, (N,), and the groups' names."""
    numbers = label.unique().tolist()
    return np.searchsorted(numbers, label.numpy()), [class_names(scene.data)(k) for k in numbers]


class Plane(NamedTuple):
    """Codes (N, D), D ≥ 2, as `places` (N, 2) in the plane, the names of its axes, and the way back from such places
    (M, 2) to codes (M, D), if there is one."""

    places: np.ndarray
    axes: list[str]
    back: Callable[[np.ndarray], np.ndarray] | None


def plane_of(z: np.ndarray, projection: Literal["pca", "tsne"]) -> Plane:
    """Codes (N, D), D ≥ 2, in the plane: as they are, or projected where they have more dimensions."""
    D = z.shape[1]
    if D == 2:
        return Plane(z, ["z₁", "z₂"], lambda places: places)
    if projection == "tsne":
        from sklearn.manifold import TSNE

        # Of few examples, no more neighbours than there are.
        perplexity = min(30.0, (len(z) - 1) / 3)
        places = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(z)
        return Plane(places, [f"t-SNE of the code's {D} dimensions: only who is near whom means something", ""], None)
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full" if D <= 1000 else "randomized", random_state=SEED).fit(z)
    shares = [f"{share:.0%} of the variance" for share in pca.explained_variance_ratio_]
    axes = [
        f"{which} principal component of the code's {D} dimensions, {share}"
        for which, share in zip(("first", "second"), shares, strict=True)
    ]
    return Plane(pca.transform(z), axes, pca.inverse_transform)


def box_around(places: np.ndarray) -> list[float]:
    """Left, right, bottom and top of places (N, 2) with a margin; a square, where that makes no thin strip."""
    low, high = places.min(0), places.max(0)
    half = 0.54 * (high - low)
    half = np.maximum(half, (1 if to_scale(*places.T) else 1e-3) * half.max())
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half], 1).ravel().tolist()


def cells(box: list[float], n: int) -> np.ndarray:
    """The centres of n × n even cells of a box, (n², 2), rows from the top."""
    left, right, bottom, top = box
    steps = (np.arange(n) + 0.5) / n
    return lattice(left + steps * (right - left), top - steps * (top - bottom))
