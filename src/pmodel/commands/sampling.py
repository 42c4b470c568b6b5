"""What `pmodel sample` does: draws from a run's model into files, and goes on where an earlier command was cut."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pmodel.capabilities import Samples, SamplesClasses
from pmodel.commands.evaluation import answering, opened
from pmodel.commands.sample_files import OneFile, Plan, PngFolder, remove_work
from pmodel.commands.sample_place import SamplePlace
from pmodel.evaluation.draws import PART, draw_part, image_bytes
from pmodel.files.atomic import NotWritten
from pmodel.files.foreign import read_json
from pmodel.files.printable import shown
from pmodel.processes.group import ProcessGroup
from pmodel.runs.claim import Claim, InUse
from pmodel.runs.opening import Run
from pmodel.runs.provenance import provenance
from pmodel.runs.results import write_json

# Digits of a PNG file's number, at least.
DIGITS = 6
# What sample.json says that two commands must have in common, and what a message calls it.
COMPARED = {
    "checkpoint_sha256": "checkpoint",
    "seed": "seed",
    "classes": "classes",
    "answer": "answer",
    "device": "trainer.accelerator",
    "shape": "shape of a draw",
    "columns": "names of the columns",
    "part": "draws at once",
}


class Sampling:
    """Draws of the run that settings, those of conf/sample.yaml, name. All of the processes make one each and call
    `draw`, which gives the line that says what there is.

    typed: the words of the command, for sample.json

    Raises:
        ValueError: of one line, if the run or the settings are wrong, or something else is drawn at that place.
    """

    def __init__(self, settings: dict[str, Any], group: ProcessGroup, typed: list[str]):
        self.settings, self.group, self.typed = settings, group, typed
        (run,) = answering(opened(settings), settings["answer"] or {})
        place = f"run={shown(run.folder)}"
        if not isinstance(run.model, Samples):
            raise ValueError(f"{place}: {type(run.model).__name__} can't sample: it has no sample")
        if not run.model.fitted:
            raise ValueError(f"{place}: the model was not fitted yet when {run.checkpoint.name} was saved")
        self.run, self.place = run, SamplePlace.of(settings["out"])
        self.are_images = len(run.data.shape) == 3
        self.classes = chosen_classes(run, settings["classes"])
        self.claim: Claim | None = None
        try:
            plan = Plan(**self.group.from_first(self._begin), dtype=np.dtype(self._dtype()))
            self.files = (OneFile if self.place.is_file else PngFolder)(self.place, plan)
            self.missing, self.there = self.group.from_first(self._missing)
        except BaseException:
            self._end()
            raise

    def draw(self) -> str:
        """Draws what is missing, and writes it.

        Raises:
            ValueError: of one line, if the disk does not take it, or the model draws what is no image.
        """
        try:
            self.run.model.to(self.group.device)
            seconds = self.group.map(self._part, range(len(self.missing)), "drawing")
            self.group.from_first(self.files.finish)
        finally:
            self._end()
        return self._line(seconds)

    def _end(self) -> None:
        """Gives the place free."""
        if self.claim is not None:
            self.claim.release()
            self.claim = None
            remove_work(self.place)

    def _begin(self) -> dict[str, Any]:
        """Takes the place, writes what is drawn there, and gives what a plan needs, in plain values."""
        self.place.check(self.run.data.shape)
        is_new = not self.place.work.exists()
        try:
            self.claim = Claim(self.place.work)
        except InUse as error:
            raise ValueError(f"{self.place}: {error}") from None
        try:
            about, wanted = read_json(self.place.about, str(self.place)), self._about()
            if about is not None:
                self._check_same(about, wanted)
            if about is None or about["n"] != wanted["n"]:
                write_json(self.place.about, wanted)
        except ValueError:
            self._end()
            if is_new and self.place.work.exists():
                self.place.work.rmdir()
            raise
        return {
            "n": wanted["n"],
            "shape": tuple(wanted["shape"]),
            "columns": wanted["columns"] and tuple(wanted["columns"]),
            "classes": self.classes,
            "folders": wanted["folders"] and tuple(wanted["folders"]),
            "digits": wanted["digits"],
        }

    def _about(self) -> dict[str, Any]:
        """What sample.json says."""
        run, n = self.run, self.settings["n"]
        are_png = not self.place.is_file
        return {
            "command": ["pmodel", "sample", *self.typed],
            "run": shown(run.folder),
            "checkpoint": f"checkpoints/{run.checkpoint.name}",
            "checkpoint_sha256": run.sha256,
            "n": n,
            "seed": self.settings["seed"],
            "classes": self.classes and list(self.classes),
            "folders": class_folders(run, self.classes) if are_png and self.classes else None,
            "answer": run.answer or None,
            "shape": list(run.data.shape),
            "columns": column_names(run) if self.place.is_csv else None,
            "digits": max(DIGITS, len(str(n - 1))) if are_png else None,
            "part": PART,
            "device": self.group.device.type,
            **provenance(self.group.device, self.group.count),
        }

    def _check_same(self, about: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Refuses to go on with something else; takes over the names of files that there are.

        Raises:
            ValueError: of one line.
        """
        if not isinstance(about.get("n"), int):
            raise ValueError(f"{self.place}: {shown(self.place.about)} is no file of pmodel sample; type another out=…")
        for key, name in COMPARED.items():
            if about.get(key) != wanted[key]:
                old, new = (json.dumps(value, ensure_ascii=False) for value in (about.get(key), wanted[key]))
                raise ValueError(
                    f"{self.place}: it has draws with another {name} ({old}, and now {new}); type another out=…"
                )
        if wanted["n"] < about["n"]:
            raise ValueError(f"n={wanted['n']}: {self.place} is for {about['n']:,} draws already; type another out=…")
        if isinstance(known := about.get("folders"), list) and len(known) == len(wanted["folders"] or ()):
            wanted["folders"] = known if all(map(is_folder_name, known)) else wanted["folders"]
        if wanted["digits"] != about.get("digits"):
            raise ValueError(
                f"n={wanted['n']}: names of files in {self.place} have {about.get('digits')} digits, and so many draws"
                f" need {wanted['digits']}; type another out=…"
            )

    def _missing(self) -> tuple[list[int], int]:
        self.files.prepare()
        return self.files.missing()

    def _dtype(self) -> str:
        if self.are_images:
            return "uint8"
        return str(self._in_units(torch.zeros(1, *self.run.data.shape)).numpy().dtype)

    def _in_units(self, x: Tensor) -> Tensor:
        return image_bytes(x) if self.are_images else self.run.data.restore(x.float())

    def _part(self, place: int) -> float:
        """Draws one of the missing parts and writes it; gives the seconds that drawing took."""
        part, plan = self.missing[place], self.files.plan
        labels = plan.labels(range(part * PART, (part + 1) * PART))
        label = None if labels is None else torch.from_numpy(labels)
        x, seconds = draw_part(self.run.model, part, self.group.device, seed=self.settings["seed"], label=label)
        try:
            self.files.write(part, self._in_units(x)[: len(plan.draws(part))].numpy())
        except NotWritten as error:
            raise ValueError(f"{self.place}: {error}; the same command goes on") from None
        except ValueError as error:
            raise ValueError(f"run={shown(self.run.folder)}: {error}") from None
        return seconds

    def _line(self, seconds: list[float]) -> str:
        what = f"{self.files.plan.n:,} {'images' if self.are_images else 'points'}"
        where = f"{shown(self.place.path)}{'' if self.place.is_file else '/'}"
        if not seconds:
            return f"samples   {what} in {where}: all of them were there"
        each = float(np.median(seconds)) / PART
        before = f", {self.there:,} of them were there" if self.there else ""
        return f"samples   {what} in {where}{before}; {each:.2g} seconds for each draw"


def chosen_classes(run: Run, classes: str | list[int] | None) -> tuple[int, ...] | None:
    """The classes that draws take turns in.

    Raises:
        ValueError: of one line, if the model knows no classes, or not these.
    """
    if classes is None:
        return None
    typed = f"classes={classes}".replace(" ", "")
    count = run.model.num_classes if isinstance(run.model, SamplesClasses) else None
    if count is None:
        name = type(run.model).__name__
        raise ValueError(
            f"{typed}: run={shown(run.folder)}: this {name} was trained without labels, and has no classes"
        )
    if classes == "all":
        return tuple(range(count))
    if not classes or len(set(classes)) < len(classes) or max(classes) >= count:
        raise ValueError(f"{typed}: expected numbers from 0 to {count - 1}, each once, or all")
    return tuple(classes)


def class_folders(run: Run, classes: tuple[int, ...]) -> list[str]:
    """The names of the classes; their numbers where the data, which know the names, are not there any more, or where a
    name is none of a folder."""
    try:
        names = run.data.class_names or ()
    except (ValueError, OSError):
        names = ()
    different = len(set(map(str.casefold, names))) == len(names)
    if len(names) <= max(classes) or not all(map(is_folder_name, names)) or not different:
        return [str(k) for k in classes]
    return [names[k] for k in classes]


def is_folder_name(name: Any) -> bool:
    """Whether it names a folder in the one that it is made in."""
    return isinstance(name, str) and Path(name).name == name and not name.startswith(".") and name.isprintable()


def column_names(run: Run) -> list[str]:
    names = run.data.column_names
    return [f"x{j + 1}" for j in range(run.data.shape[0])] if names is None else list(names)
