"""An animated picture of a training: `callbacks=[default,film]`."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from pmodel.callbacks.figures import batches_done
from pmodel.figures.figure import NotShown, epochs_done, evaluating, scene_of
from pmodel.figures.film import Film, is_fitted_by_epochs
from pmodel.instantiate import instantiate
from pmodel.processes.launch import is_first
from pmodel.settings.ranges import Positive, Two

# Of its file.
SUFFIXES = (".gif", ".webp")
# How long the last picture stays, in milliseconds.
LAST = 2500


class Filming(Callback):
    """Draws a model while it trains, and joins the pictures to figures/film.gif at the end; each is also kept, in
    figures/film/, so that a run that goes on continues the film.

    Of the films in `include` it takes the first that fits the model and its data; a line says if none does. A training
    of a known number of steps has a picture of step T (i / n)² for i = 0, …, n, since most changes early. A fit by
    epochs, whose length is unknown, has one of each of the first twenty epochs, and later ones are a tenth apart.
    Nothing about the training changes.

    Args:
        num_frames: n, of a training of a known number of steps.
        frames_per_second: null: as each kind of film has it.
        format: gif or webp.
        include: a dict with a `_target_`, a `Film`, by its name; null leaves that one out.
    """

    def __init__(
        self,
        figures_dir: str,
        num_frames: Two,
        frames_per_second: Positive | None,
        format: Literal["gif", "webp"],
        include: dict[str, dict | None],
    ):
        self.folder = Path(figures_dir)
        self.num_frames, self.frames_per_second, self.format = num_frames, frames_per_second, format
        self.films: list[Film] = [instantiate(node) for node in include.values() if node]
        self.film: Film | None = None
        self._steps: set[int] | None = None
        self._loaded: Any = None
        self._last = -1

    @property
    def state_key(self) -> str:
        return "Film"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.film = film_for(self.films, trainer, pl_module)
        if self.film is None:
            return
        if self._loaded is not None:
            self.film.state = self._loaded
        self._steps = steps_of(trainer, pl_module, self.num_frames)
        if batches_done(trainer) == 0 and self._at("batches", pl_module):
            self._shoot(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not earlier: a model without a gradient chooses its start when training begins, after the callbacks.
        if epochs_done(trainer) == 0 and batches_done(trainer) == 0 and self._at("epochs", pl_module):
            self._shoot(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.film is not None and self._at("batches", pl_module):
            self.film.see(pl_module, batch)
            step = batches_done(trainer)
            if is_tenth(step) if self._steps is None else step in self._steps:
                self._shoot(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._at("epochs", pl_module) and is_tenth(epochs_done(trainer)):
            self._shoot(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not is_first():
            return
        if self.film is not None and self._last != batches_done(trainer):
            self._shoot(trainer, pl_module)
        if self.film is None or not self._join():
            print("film      none: no kind of film fits this model and these data", flush=True)

    def _at(self, when: str, model: LightningModule) -> bool:
        return self.film is not None and self.film.when(model) == when

    def _shoot(self, trainer: Trainer, model: LightningModule) -> None:
        if not is_first():
            return
        step = self._last = batches_done(trainer)
        with evaluating(trainer, model):
            for i, frame in enumerate(self.film.frames(scene_of(trainer), model, step)):
                file = self.folder / "film" / f"{step:08d}_{i:02d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frame).save(file, compress_level=1)

    def _join(self) -> bool:
        """Writes the film; whether there is one, of more than one picture."""
        files = sorted((self.folder / "film").glob("*.png"))
        if len(files) > 1:
            rate = self.frames_per_second or self.film.frames_per_second
            write_film([np.asarray(Image.open(file)) for file in files], self.folder / f"film.{self.format}", rate)
        return len(files) > 1

    def state_dict(self) -> dict[str, Any]:
        return {"film": self.film.state} if self.film is not None and self.film.state is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict.get("film")


def film_for(films: list[Film], trainer: Trainer, model: LightningModule) -> Film | None:
    """The first that fits the model and its data."""
    for film in films:
        try:
            film.check(scene_of(trainer), model)
        except NotShown:
            continue
        return film
    return None


def steps_of(trainer: Trainer, model: LightningModule, num_frames: int) -> set[int] | None:
    """The batches after which there is a picture; None of a training whose length is unknown."""
    # A model without a gradient takes one step per epoch, and what happens between batches is over after the first.
    if is_fitted_by_epochs(model):
        total = trainer.num_training_batches
    else:
        total = trainer.estimated_stepping_batches * trainer.accumulate_grad_batches
    if total < 0 or total == float("inf"):
        return None
    return {round(total * (i / num_frames) ** 2) for i in range(num_frames + 1)}


def is_tenth(count: int) -> bool:
    """Whether a count is one of 1, …, 20, 22, 24, …, 30, 33, …: spaced by about a tenth of themselves."""
    return count % max(1, count // 10) == 0


def write_film(frames: list[np.ndarray], file: Path, frames_per_second: float) -> None:
    """Pictures (height, width, 3), uint8, as an animated GIF or WebP; smaller ones are filled up with white."""
    height, width = np.max([frame.shape[:2] for frame in frames], 0)
    pages = []
    for frame in frames:
        page = Image.new("RGB", (int(width), int(height)), "white")
        page.paste(Image.fromarray(frame))
        pages.append(page)
    duration = [round(1000 / frames_per_second)] * (len(pages) - 1) + [LAST]
    if file.suffix == ".gif":
        # One palette for all, or colours would flicker.
        some = pages[:: max(1, len(pages) // 8)]
        montage = np.concatenate([np.asarray(page) for page in [*some, pages[-1]]])
        palette = Image.fromarray(montage).quantize(255)
        pages = [page.quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]
    settings = {"quality": 80} if file.suffix == ".webp" else {}
    temporary = file.with_name(f".{file.name}")
    pages[0].save(
        temporary,
        file.suffix[1:].upper(),
        save_all=True,
        append_images=pages[1:],
        duration=duration,
        loop=0,
        **settings,
    )
    temporary.replace(file)
