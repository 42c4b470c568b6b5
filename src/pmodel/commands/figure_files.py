"""The figures of an evaluated run, as files."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lightning.pytorch import LightningModule
from PIL import Image

from pmodel.callbacks.figures import Figures
from pmodel.callbacks.film import SUFFIXES
from pmodel.figures.figure import NotShown, Scene
from pmodel.figures.widget import Widget
from pmodel.plots.grids import columns_for, sheet
from pmodel.runs.results import write_json

# The film of a training, in a results document, and what a page says about it.
FILM = "film"
FILM_CAPTION = {
    "title": "The training as a film",
    "caption": "Each model as it learned, from its start to its end; of some, how it draws or what a setting changes.",
    "group": "films",
}


class FigureFiles(NamedTuple):
    """By the figures' names, the paths of images and of widgets, relative to the evaluation's folder, and why there is
    no such image."""

    paths: dict[str, str]
    missing: dict[str, str]
    widgets: dict[str, str]


def write_figures(
    figures: Figures, scene: Scene, model: LightningModule, folder: Path, place: str, widgets: bool
) -> FigureFiles:
    """Draws all figures of a model in eval mode into `place`, below the folder of an evaluation.

    widgets: whether to leave what a page's reader can move, too
    """
    found = FigureFiles({}, {}, {})
    for figure, image in figures.drawn(scene, model):
        if isinstance(image, NotShown):
            found.missing[figure.name] = str(image)
        else:
            found.paths[figure.name] = f"{place}/{figure.name}.png"
            _save(image, folder / found.paths[figure.name])
    for figure, widget in figures.widgets(scene, model) if widgets else ():
        found.widgets[figure.name] = f"{place}/{figure.name}_widget.json"
        write_widget(widget, folder / found.widgets[figure.name])
    return found


def copy_film(run: Path, folder: Path, place: str) -> dict[str, str]:
    """The film of a run's training, if it has one, copied into `place`, by its name in a results document."""
    for film in sorted((run / "figures").glob("film.*")):
        if film.suffix in SUFFIXES:
            target = folder / place / film.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(film, target)
            return {FILM: f"{place}/{film.name}"}
    return {}


def write_widget(widget: Widget, file: Path) -> None:
    """NAME_widget.json, and beside it the sheet of its tiles, NAME_tiles.png."""
    columns = columns_for(len(widget.tiles))
    tiles = file.with_name(file.name.replace("_widget.json", "_tiles.png"))
    image = sheet(widget.tiles, columns)
    _save(image[:, :, 0] if not np.ptp(image, axis=2).any() else image, tiles)
    height, width = widget.tiles.shape[1:3]
    about = {"file": tiles.name, "columns": columns, "width": width, "height": height}
    words = {"kind": widget.kind, "title": widget.title, "words": widget.words}
    write_json(file, words | {"tiles": about, "values": widget.values})


def _save(image: np.ndarray, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file)
