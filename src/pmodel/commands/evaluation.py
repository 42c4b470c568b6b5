"""What eval.py does: opens runs, asks each what it can answer, draws its figures; all of it as plain values."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from PIL import Image
from torch import Tensor

from pmodel.callbacks.figures import Figures
from pmodel.capabilities import Samples
from pmodel.commands.figure_files import FILM, FILM_CAPTION, FigureFiles, copy_film, write_figures
from pmodel.commands.labels import labels, slug
from pmodel.evaluation.findings import Finding, Metric, Reference
from pmodel.evaluation.memorization import Memorization
from pmodel.evaluation.samples import SampleQuality
from pmodel.evaluation.subject import Subject, data_protocol
from pmodel.figures.figure import Scene, is_image
from pmodel.files.printable import first_line, shown
from pmodel.files.run_files import BEST, LAST, RESULTS, SCHEMA, STATUS
from pmodel.instantiate import instantiate
from pmodel.plots.grids import image_grid, in_rows
from pmodel.plots.plots import clouds
from pmodel.processes.bar import Bar
from pmodel.processes.ending import INTERRUPTED, end
from pmodel.processes.group import ProcessGroup
from pmodel.processes.launch import is_first
from pmodel.reporting.comparison_markdown import comparison_markdown
from pmodel.reporting.report import write_report
from pmodel.runs.opening import Run, open_run
from pmodel.runs.provenance import provenance
from pmodel.runs.results import Curve, Missing, write_json
from pmodel.runs.saved import find_runs, read_checkpoint, read_overrides, read_results, read_status

# Draws of each run in samples.png.
NUM_IMAGES, NUM_CLOUD = 36, 1000
# Settings of data that concern training alone, and what they are when a run is evaluated.
EVALUATED_WITH = {"flip": False, "redraw": False, "num_labels": None, "label_seed": 0, "seed": 0, "batch_size": 500}


class Evaluation:
    """Evaluates the runs that settings, those of conf/eval.yaml, name.

    All of the processes make one each and ask for `results`, which are the same on all; the first draws the figures.

    runs: opened ones, in place of those that the settings name
    folder: what is written here
    """

    def __init__(self, settings: dict[str, Any], group: ProcessGroup, runs: list[Run] | None = None):
        self.settings, self.group = settings, group
        self.folder = Path(settings["paths"]["run_dir"])
        if settings["metric"].get("features") is None:
            raise ValueError("metric.features=null: expected metric/features=auto, classifier or inception")
        self.runs = answering(opened(settings) if runs is None else runs, settings["answer"] or {})
        self.labels = labels(self.runs)
        parts = {name: node for name, node in settings["metric"].items() if node}
        self.features = instantiate(parts.pop("features"))
        self.metrics: list[Metric] = [instantiate(node) for node in parts.values()]
        # What is wrong with data or features is said before anything is measured.
        self._data: dict[str, Any] = {}
        self.subjects = [self._subject(run, label) for run, label in zip(self.runs, self.labels, strict=True)]
        if any(isinstance(metric, SampleQuality | Memorization) for metric in self.metrics):
            for subject in self.subjects:
                if isinstance(subject.model, Samples):
                    _ = subject.extractor
        # The first draws of each run, by the name and the shape of its data.
        self.drawn: dict[str, dict[str, Tensor]] = {}
        self.figures: Figures | None = (node := settings["callbacks"].get("figures")) and instantiate(node)

    def results(self) -> dict[str, Any]:
        """The results document: see docs/evaluation.md. A run that can't be evaluated does not stop the others, unless
        it is the only one."""
        entries, failed = [], []
        for run, label, subject in zip(self.runs, self.labels, self.subjects, strict=True):
            try:
                entries.append(self._entry(run, label, subject))
            except ValueError as error:
                if len(self.runs) == 1:
                    raise
                failed.append({"run": shown(run.folder), "label": label, "reason": first_line(error)})
        if not entries:
            raise ValueError(f"none of {len(failed)} runs could be evaluated, the first: {failed[0]['reason']}")
        names = {number["name"] for entry in entries for number in (*entry["numbers"], *entry["missing"])}
        return {
            "schema": SCHEMA,
            "split": self.settings["split"],
            **provenance(self.group.device, self.group.count),
            "settings": self.settings["metric"],
            "meanings": {q.name: q.meaning for m in self.metrics for q in m.quantities if q.name in names},
            "captions": self._captions(entries),
            "runs": entries,
            "failed": failed,
        }

    def _captions(self, entries: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
        """What the page says about each figure, and about films if there are any."""
        film = {FILM: FILM_CAPTION} if any(FILM in entry["figures"] for entry in entries) else {}
        return (self.figures.captions if self.figures else {}) | film

    def _entry(self, run: Run, label: str, subject: Subject) -> dict[str, Any]:
        place = f"run={shown(run.folder)}"
        if is_first():
            print(f"evaluating {label}  {shown(run.folder)}", flush=True)
        run.model.to(self.group.device)
        findings: list[Finding] = []
        with Bar(len(self.metrics), f"evaluating {label}") as bar:
            for metric in self.metrics:
                findings += metric.ask(subject)
                bar.update()
        if isinstance(run.model, Samples):
            # All processes draw; the first one shows it.
            shape = subject.data.shape
            kind = f"{subject.data.source}_{'x'.join(map(str, shape))}"
            count = NUM_IMAGES if len(shape) == 3 else NUM_CLOUD
            self.drawn.setdefault(kind, {})[label] = subject.data.restore(subject.samples(count))
        drawn = self._figures(run, label, subject.data)
        run.model.cpu()
        return {
            "run": shown(run.folder),
            "label": label,
            "status": read_status(run.folder / STATUS, place).get("status"),
            "model": type(run.model).__name__,
            "checkpoint": f"checkpoints/{run.checkpoint.name}",
            "checkpoint_sha256": run.sha256,
            "epoch": run.epochs,
            "seed": run.config.get("seed"),
            "data": data_protocol(subject.data),
            "diagnosis": read_results(run.folder / RESULTS, place)["diagnosis"],
            "numbers": [finding for finding in findings if isinstance(finding, dict)],
            "missing": [finding._asdict() for finding in findings if isinstance(finding, Missing)],
            "references": [finding.number for finding in findings if isinstance(finding, Reference)],
            "curves": [finding._asdict() for finding in findings if isinstance(finding, Curve)],
            "figures": drawn.paths,
            "missing_figures": drawn.missing,
            "widgets": drawn.widgets,
            "overrides": read_overrides(run.folder, place),
            "config": run.config,
        }

    def write(self, results: dict[str, Any]) -> Path:
        """Writes the results document, its table, draws of the runs and the page; the page's path."""
        write_json(self.folder / RESULTS, results)
        (self.folder / "table.md").write_text(comparison_markdown(results), encoding="utf-8")
        self.write_samples()
        return write_report(results, self.folder, self.settings["report"]["picture_height"])

    def write_samples(self) -> None:
        """samples.png, where runs sample what can be shown: some draws of each side by side, at equal scale."""
        for kind, drawn in self.drawn.items():
            name = "samples.png" if len(self.drawn) == 1 else f"samples_{slug(kind)}.png"
            if is_image(next(iter(drawn.values()))):
                panels = {label: image_grid(x[:NUM_IMAGES], 6) for label, x in drawn.items()}
                Image.fromarray(in_rows(panels, 4)).save(self.folder / name)
            elif next(iter(drawn.values())).shape[1] <= 2:
                Image.fromarray(clouds({label: x.numpy() for label, x in drawn.items()})).save(self.folder / name)

    def _subject(self, run: Run, label: str) -> Subject:
        split, place = self.settings["split"], f"run={shown(run.folder)}"
        data = self._evaluation_data(run)
        if not data.split_sizes.get(split):
            raise ValueError(f"split={split}: the data of {label} have no {split} examples")
        if not run.model.fitted:
            raise ValueError(f"{place}: the model was not fitted yet when {run.checkpoint.name} was saved")
        trained = read_results(run.folder / RESULTS, place)
        about_training = trained["numbers"]
        self._check_sizes(run, about_training)
        for number in about_training:
            if number.get("name") == "training_time":
                number["protocol"] = {"hardware": trained.get("hardware")}
        cache_dir = self.settings["cache_dir"]
        return Subject(
            run.model,
            data,
            split,
            self.features,
            self.group,
            None if cache_dir is None else Path(cache_dir).expanduser(),
            self.settings["batch_size"],
            about_training,
            run.answer,
        )

    def _evaluation_data(self, run: Run) -> Any:
        """The run's data without what concerns its training alone: models on the same data are evaluated on the same
        examples, whether their training mirrored images, drew them anew, or knew all labels."""
        node = run.config["data"] | {key: value for key, value in EVALUATED_WITH.items() if key in run.config["data"]}
        key = json.dumps([node, run.data.units], sort_keys=True)
        if key not in self._data:
            data = instantiate(node)
            data.hold_those_of(run.data)
            data.keep_units(run.data.units)
            data.setup("fit")
            data.setup({"train": "fit", "validation": "validate", "test": "test"}[self.settings["split"]])
            self._data[key] = data
        return self._data[key]

    def _check_sizes(self, run: Run, numbers: list[dict[str, Any]]) -> None:
        """Refuses data that are not those of the training: examples of the training may be among those evaluated."""
        if run.config["data"].get("num_labels") is not None:
            return
        recorded = next((n["protocol"]["split_sizes"] for n in numbers if "split_sizes" in n.get("protocol", {})), {})
        sizes = self._evaluation_data(run).split_sizes
        for split, size in recorded.items():
            if sizes.get(split, size) != size:
                raise ValueError(
                    f"run={shown(run.folder)}: its data have changed since the training: there were {size} {split}"
                    f" examples, and are {sizes[split]}"
                )

    def _figures(self, run: Run, label: str, data: Any) -> FigureFiles:
        if self.figures is None or not is_first():
            return FigureFiles({}, {}, {})
        figures: Figures = instantiate(self.settings["callbacks"]["figures"])
        figures.load_state_dict(history(run).get(figures.state_key, {}))
        place = "figures" if len(self.runs) == 1 else f"figures/{self.labels.index(label)}-{slug(label)}"
        scene = Scene(data, run.epochs)
        drawn = write_figures(figures, scene, run.model, self.folder, place, self.settings["report"]["widgets"])
        drawn.paths.update(copy_film(run.folder, self.folder, place))
        return drawn


def history(run: Run) -> dict[str, Any]:
    """What callbacks kept over the whole training: best.ckpt was saved before its end."""
    last = run.checkpoint.with_name(LAST)
    if run.checkpoint.name == BEST and last.is_file():
        # Without it, its figures show less.
        with suppress(ValueError):
            return read_checkpoint(last, "history").get("callbacks", {})
    return run.state


def opened(settings: dict[str, Any]) -> list[Run]:
    """The runs that settings name; those of a multirun that can't be used are named."""
    paths = settings["run"] if isinstance(settings["run"], list) else [settings["run"]]
    found, left_out = find_runs(paths)
    for line in left_out if is_first() else ():
        print(f"left out: {line}", flush=True)
    places = settings["data_dir"], settings["data"]["path"]
    return [open_run(run.checkpoint, *places, f"run={shown(run.folder)}") for run in found]


def answering(runs: list[Run], settings: dict[str, Any]) -> list[Run]:
    """The runs, of which each answers with those of the settings that its model has.

    Raises:
        ValueError: of one line, if no model has one of them, or it does not take the value.
    """
    own = [{key: settings[key] for key in settings if key in getattr(run.model, "answer_settings", ())} for run in runs]
    unknown = {key: value for key, value in settings.items() if not any(key in keys for keys in own)}
    own[0] |= unknown  # which it refuses
    return [run.answering(**keys) if keys else run for run, keys in zip(runs, own, strict=True)]


@contextmanager
def one_line_errors(folder: Path, code: int) -> Iterator[None]:
    """Turns what is wrong with the user's input into one line and an exit code; anything else may be a defect, and
    keeps its traceback.

    folder: removed again if nothing was written there, with the one around it if that holds nothing else
    """
    try:
        yield
    except (ValueError, MisconfigurationException) as error:
        with suppress(OSError):
            folder.rmdir()
            folder.parent.rmdir()
        end(code, f"error: {first_line(error)}" if is_first() else "")
    except KeyboardInterrupt:
        end(INTERRUPTED, "\nstopped; nothing was written but figures" if is_first() else "")
