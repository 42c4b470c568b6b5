"""What eval.py does: opens runs, asks each what it can answer, draws its figures; all of it as plain values."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from pmodel.callbacks.figures import Figures, NotShown, Scene
from pmodel.callbacks.shapes import is_picture
from pmodel.capabilities import Samples
from pmodel.evaluation.findings import Floor, Metric
from pmodel.evaluation.subject import Subject, data_protocol
from pmodel.evaluation.workers import Workers
from pmodel.instantiate import instantiate
from pmodel.quiet import quieten_libraries
from pmodel.reporting.grids import image_grid, in_rows
from pmodel.reporting.plots import clouds
from pmodel.reporting.provenance import provenance
from pmodel.reporting.results import SCHEMA, Curve, Missing
from pmodel.reporting.summary import shown
from pmodel.runs import Run, open_run
from pmodel.saved import find_runs, read_checkpoint

# Draws of each run in samples.png.
NUM_PICTURES, NUM_CLOUD = 36, 1000


class Judge:
    """Judges the runs that settings, those of conf/eval.yaml, name.

    All of the processes make one each and ask for `results`, which are the same on all; the first draws the figures.

    folder: what is written here
    """

    def __init__(self, settings: dict[str, Any], workers: Workers):
        quieten_libraries()
        self.settings, self.workers = settings, workers
        self.folder = Path(settings["paths"]["run_dir"])
        paths = settings["run"] if isinstance(settings["run"], list) else [settings["run"]]
        found, left_out = find_runs(paths)
        if workers.is_first:
            for line in left_out:
                print(f"left out: {line}", flush=True)
        self.runs = [open_run(run.checkpoint, settings["data_dir"], f"run={shown(run.folder)}") for run in found]
        self.labels = labels(self.runs)
        parts = {name: node for name, node in settings["metric"].items() if node}
        self.features = instantiate(parts.pop("features"))
        # The first draws of each run, by the shape of its data.
        self.drawn: dict[tuple[int, ...], dict[str, Tensor]] = {}
        self.metrics: list[Metric] = [instantiate(node) for node in parts.values()]

    def results(self) -> dict[str, Any]:
        """The results document: see docs/evaluation.md."""
        entries = [self._entry(run, label) for run, label in zip(self.runs, self.labels, strict=True)]
        return {
            "schema": SCHEMA,
            "split": self.settings["split"],
            **provenance(self.workers.device, self.workers.count),
            "settings": self.settings["metric"],
            "runs": entries,
        }

    def _entry(self, run: Run, label: str) -> dict[str, Any]:
        if self.workers.is_first:
            print(f"judging {label}  {shown(run.folder)}", flush=True)
        subject = self._subject(run, label)
        numbers, missing, floors, curves = [], [], [], []
        for metric in self.metrics:
            for finding in metric.measure(subject):
                match finding:
                    case Missing():
                        missing.append(finding._asdict())
                    case Floor():
                        floors.append(finding.number)
                    case Curve():
                        curves.append(finding._asdict())
                    case _:
                        numbers.append(finding)
        figures, missing_figures = self._figures(run, label)
        if isinstance(run.model, Samples) and self.workers.is_first:
            self.drawn.setdefault(tuple(run.data.shape), {})[label] = subject.samples(
                NUM_PICTURES if len(run.data.shape) == 3 else NUM_CLOUD
            )
        return {
            "run": shown(run.folder),
            "label": label,
            "model": type(run.model).__name__,
            "checkpoint": f"checkpoints/{run.checkpoint.name}",
            "checkpoint_sha256": hashlib.sha256(run.checkpoint.read_bytes()).hexdigest()[:12],
            "epoch": run.epochs,
            "seed": run.config.get("seed"),
            "data": data_protocol(run.data),
            "numbers": numbers,
            "missing": missing,
            "floors": floors,
            "curves": curves,
            "figures": figures,
            "missing_figures": missing_figures,
            "overrides": _typed(run),
            "config": run.config,
        }

    def write_samples(self) -> None:
        """samples.png, where runs sample what can be shown: some draws of each side by side, at equal scale."""
        for shape, drawn in self.drawn.items():
            name = "samples.png" if len(self.drawn) == 1 else f"samples_{'x'.join(map(str, shape))}.png"
            if is_picture(next(iter(drawn.values()))):
                panels = {label: image_grid(x[:NUM_PICTURES], 6) for label, x in drawn.items()}
                Image.fromarray(in_rows(panels, 4)).save(self.folder / name)
            elif shape[0] <= 2:
                Image.fromarray(clouds({label: x.numpy() for label, x in drawn.items()})).save(self.folder / name)

    def _subject(self, run: Run, label: str) -> Subject:
        split, data = self.settings["split"], run.data
        data.setup("fit")
        data.setup({"train": "fit", "validation": "validate", "test": "test"}[split])
        if not data.split_sizes.get(split):
            raise ValueError(f"split={split}: the data of {label} have no {split} examples")
        if not run.model.fitted:
            raise ValueError(
                f"run={shown(run.folder)}: the model was not fitted yet when {run.checkpoint.name} was saved"
            )
        trained = run.folder / "results.json"
        about_training = json.loads(trained.read_text(encoding="utf-8"))["numbers"] if trained.is_file() else []
        cache_dir = self.settings["cache_dir"]
        return Subject(
            run.model.to(self.workers.device),
            data,
            split,
            self.features,
            self.workers,
            None if cache_dir is None else Path(cache_dir),
            self.settings["batch_size"],
            about_training,
        )

    def _figures(self, run: Run, label: str) -> tuple[dict[str, str], dict[str, str]]:
        """The paths of the pictures that were drawn, and why others were not; by the figures' names."""
        node = self.settings["callbacks"].get("figures")
        if node is None or not self.workers.is_first:
            return {}, {}
        figures: Figures = instantiate(node)
        figures.load_state_dict(_history(run).get(figures.state_key, {}))
        folder = "figures" if len(self.runs) == 1 else f"figures/{slug(label)}"
        paths, missing = {}, {}
        for figure, picture in figures.drawn(Scene(run.data, run.epochs), run.model):
            if isinstance(picture, NotShown):
                missing[figure.name] = picture.reason
                continue
            paths[figure.name] = f"{folder}/{figure.name}.png"
            file = self.folder / paths[figure.name]
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file)
        return paths, missing


def _history(run: Run) -> dict[str, Any]:
    """What callbacks kept over the whole training: best.ckpt was saved before its end."""
    last = run.checkpoint.with_name("last.ckpt")
    if run.checkpoint.name != "best.ckpt" or not last.is_file():
        return run.state
    return read_checkpoint(last, f"run={shown(run.folder)}").get("callbacks", {})


def labels(runs: list[Run]) -> list[str]:
    """A short name for each run, no two alike: the run's own, what was typed for it where others have the same one, and
    at last a number."""
    names = [str(run.config.get("name", run.folder.name)) for run in runs]
    endings = {name.rpartition("-")[2] for name in names}
    if len(names) > 1 and len(endings) == 1:
        names = [name.rpartition("-")[0] or name for name in names]  # all are on the same data
    typed = [_settings(run) for run in runs]
    for name in {name for name in names if names.count(name) > 1}:
        group = [i for i, other in enumerate(names) if other == name]
        differing = [key for key in _keys(typed, group) if len({typed[i].get(key) for i in group}) > 1]
        for i in group:
            names[i] = " ".join([name, *(f"{key}={typed[i][key]}" for key in differing if key in typed[i])])
    repeated = {name for name in names if names.count(name) > 1}
    return [f"{name} ({names[: i + 1].count(name)})" if name in repeated else name for i, name in enumerate(names)]


def _typed(run: Run) -> list[str]:
    """What was typed for a run."""
    file = run.folder / "overrides.yaml"
    return list(map(str, OmegaConf.to_container(OmegaConf.load(file)))) if file.is_file() else []


def _settings(run: Run) -> dict[str, str]:
    """What was typed for a run, by key."""
    return {key.lstrip("+~"): value for key, _, value in (line.partition("=") for line in _typed(run))}


def _keys(typed: list[dict[str, str]], group: list[int]) -> list[str]:
    return list(dict.fromkeys(key for i in group for key in typed[i]))


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^\w.-]+", "_", label).strip("._") or "run"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns what is wrong with the user's input into one line and exit code 1; anything else may be a defect, and
    keeps its traceback."""
    try:
        yield
    except (ValueError, MisconfigurationException) as error:
        raise SystemExit(f"error: {(str(error).strip() or repr(error)).splitlines()[0]}") from None
    except KeyboardInterrupt:
        print("\nstopped; nothing was written but figures", file=sys.stderr)
        raise SystemExit(130) from None
