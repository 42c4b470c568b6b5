"""`pmodel.evaluate`: what eval.py measures, in Python."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning
from omegaconf import OmegaConf

from pmodel.commands.evaluation import Evaluation
from pmodel.commands.quiet import quieten_libraries
from pmodel.config.recipe import Recipe
from pmodel.interactive.callers import callers_kept
from pmodel.processes.group import ProcessGroup
from pmodel.processes.launch import num_processes
from pmodel.reporting.comparison_html import comparison_html
from pmodel.reporting.comparison_text import comparison_text
from pmodel.runs.claim import reserve
from pmodel.runs.opening import Run


@dataclass(frozen=True, repr=False)
class Results:
    """What was measured of some runs. It prints as the table of eval.py, and is a table in a notebook.

    document: the results document, see docs/evaluation.md
    report: the page that was written, beside results.json
    """

    document: dict[str, Any]
    report: Path

    def __getitem__(self, name: str) -> float | dict[str, float]:
        """The value of a number of that name; of several runs, by their labels.

        Raises:
            KeyError: if no run has it, with the names that there are.
        """
        runs = self.document["runs"]
        values = {run["label"]: n["value"] for run in runs for n in run["numbers"] if n["name"] == name}
        if not values:
            known = dict.fromkeys(number["name"] for run in runs for number in run["numbers"])
            raise KeyError(f"{name}: there are {', '.join(known)}")
        return values if len(runs) > 1 else next(iter(values.values()))

    def __repr__(self) -> str:
        return comparison_text(self.document, shutil.get_terminal_size((132, 24)).columns)

    def _repr_html_(self) -> str:
        return comparison_html(self.document)


def evaluate(*runs_and_overrides: Run | str, **settings: Any) -> Results:
    """Measures runs as eval.py does, several side by side: `pmodel.evaluate(run, other)`. Writes the same files.

    Args:
        runs_and_overrides: opened runs; then settings, as typed to eval.py: "metric.samples.num_samples=1000".
        settings: others of conf/eval.yaml: `split="validation"`, `batch_size=100`.

    Raises:
        ValueError: of one line, if a setting is wrong, or a run can't be evaluated.
    """
    runs = [run for run in runs_and_overrides if isinstance(run, Run)]
    words = [word for word in runs_and_overrides if not isinstance(word, Run)]
    if not runs:
        raise ValueError("evaluate: expected runs, as pmodel.fit and pmodel.open_run give them")
    recipe = Recipe((), {"run": [str(run.folder) for run in runs]}, command="eval").having(words=words, **settings)
    config = recipe.composed()
    recipe.check(config)
    parent = runs[0].folder / "eval" if len(runs) == 1 else Path(f"{config.paths.log_dir}/eval")
    trainer = config.trainer
    if num_processes({"strategy": "auto", **trainer}) > 1:
        raise ValueError(f"trainer.devices={trainer.devices}: expected 1; eval.py shares the work of several")
    with _quietly(), _new(parent) as folder:
        config.paths.run_dir = str(folder)
        group = ProcessGroup.launch(trainer.accelerator, trainer.devices)
        evaluation = Evaluation(OmegaConf.to_container(config, resolve=True), group, runs)
        document = evaluation.results()
        document["overrides"] = recipe.typed
        return Results(document, evaluation.write(document))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the libraries' remarks, and with the random states of eval.py; the caller's are what they were."""
    with callers_kept():
        quieten_libraries()
        lightning.seed_everything(0, verbose=False)
        yield


@contextmanager
def _new(parent: Path) -> Iterator[Path]:
    """A new folder, which goes again where nothing was written into it."""
    folder = reserve(parent / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
    try:
        yield folder
    finally:
        for path in (folder, parent):
            if not any(path.iterdir()):
                path.rmdir()
