"""An opened run that can be asked and shown in one line of Python."""

from dataclasses import fields
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pmodel.callbacks.figures import Figures, image_of
from pmodel.capabilities import Decodes, Encodes, Samples
from pmodel.commands.evaluation import history
from pmodel.config.recipe import Recipe
from pmodel.data.arrays import examples_of
from pmodel.figures.figure import NotShown, Scene, is_image
from pmodel.figures.images import SEED
from pmodel.files.run_files import BEST, LAST
from pmodel.instantiate import instantiate
from pmodel.interactive.results import Results, evaluate
from pmodel.plots.grids import columns_for, image_grid
from pmodel.runs import opening


class InteractiveRun(opening.Run):
    """A run with what needs figures and metrics, which `pmodel.runs` knows nothing of."""

    @classmethod
    def of(cls, run: opening.Run) -> "InteractiveRun":
        return cls(**{field.name: getattr(run, field.name) for field in fields(run)})

    def show(self, name: str = "samples") -> Image.Image:
        """A figure as an image, which a notebook shows where it is the last value of a cell.

        It is the file that the training left in figures/, if there is one; else it is drawn of `model`.

        name: a key of `figures.include` in conf/callbacks/figures.yaml: samples, reconstructions, loss_curves …

        Raises:
            ValueError: of one line, if there is no such figure, with the names that there are; or if the model, or its
                data, have none, with the reason.
        """
        file = self.folder / "figures" / f"{name}.png"
        figures: Figures = instantiate(Recipe((), command="eval").node("callbacks.figures"))
        found = {figure.name: figure for figure in figures.figures}
        if name not in found:
            raise ValueError(f"show({name!r}): there is no such figure; there are {', '.join(found)}")
        if file.is_file() and not self.answer and self.checkpoint.name in (BEST, LAST):
            with Image.open(file) as image:
                return image.copy()
        figures.load_state_dict(history(self).get(figures.state_key, {}))
        self.data.setup("fit")
        image = image_of(found[name], Scene(self.data, self.epochs), self.model)
        if isinstance(image, NotShown):
            raise ValueError(f"show({name!r}): {image}")
        return Image.fromarray(image)

    def sample(self, n: int, seed: int | None = SEED) -> Tensor:
        """n draws of the model, (n, …), in the units of the data: the same for a seed, others each time for None.

        Raises:
            ValueError: of one line, if the model has no `sample`.
        """
        self._need("sample", Samples)
        generator = None if seed is None else torch.Generator(self.model.device).manual_seed(seed)
        with torch.no_grad():
            return self.data.restore(self.model.sample(n, generator=generator).cpu())

    def interpolate(self, i: int, j: int, steps: int = 8, split: str = "test") -> Tensor:
        """What the model decodes on the straight line from the code of example i of a split to that of example j:
        (steps, …), in the units of the data.

        Raises:
            ValueError: of one line, if the model has no `encode` or no `decode`, or there is no such example.
        """
        self._need("interpolate", Encodes, Decodes)
        x = self.data.examples(split, max(i, j) + 1).x
        if min(i, j) < 0 or max(i, j) >= len(x):
            raise ValueError(f"interpolate({i}, {j}): expected numbers from 0 to {len(x) - 1} of {split} examples")
        with torch.no_grad():
            start, end = self.model.encode(x[[i, j]].to(self.model.device))
            weights = torch.linspace(0, 1, steps, device=start.device)
            return self.data.restore(self.model.decode(torch.lerp(start, end, weights[:, None])).cpu())

    def evaluate(self, *overrides: str, **settings: Any) -> Results:
        """What `eval.py run=…` measures of this run: see `pmodel.evaluate`."""
        return evaluate(self, *overrides, **settings)

    def _need(self, method: str, *questions: type) -> None:
        for question in questions:
            if not isinstance(self.model, question):
                lacking = next(name for name in vars(question) if not name.startswith("_"))
                raise ValueError(f"{method}: {type(self.model).__name__} has no {lacking}")

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"


def open_run(
    path: str | Path,
    data_dir: str | Path | None = None,
    data_path: str | Path | None = None,
    model: type | None = None,
    data: Any = None,
) -> InteractiveRun:
    """Opens a run: `pmodel.open_run("logs/train/…").show("samples")`. See `pmodel.runs.opening.open_run`.

    Args:
        model: the class of a model of your own.
        data: what was handed to `pmodel.fit` as the data, if that was no name.

    Raises:
        ValueError: of one line, if there is no such run, its files are damaged or foreign, or these are not its data.
    """
    examples = None if data is None else examples_of(data)
    return InteractiveRun.of(opening.open_run(path, data_dir, data_path, model=model, data=examples))


def picture(x: Tensor | np.ndarray, columns: int | None = None) -> Image.Image:
    """Images (N, C, H, W) in [0, 1] in a grid, as one image, for a notebook or a file.

    Raises:
        ValueError: of one line, for anything else.
    """
    x = torch.as_tensor(x).detach().cpu().float()
    if not is_image(x):
        raise ValueError(f"picture: {list(x.shape)}: expected images (N, C, H, W) with 1 or 3 channels")
    return Image.fromarray(image_grid(x, columns or columns_for(len(x))))
