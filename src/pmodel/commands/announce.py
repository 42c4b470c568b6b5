"""What a training says: a few lines before it begins, and its numbers and its files at the end."""

import logging
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pmodel.callbacks.checkpoints import BestCheckpoint
from pmodel.callbacks.film import SUFFIXES
from pmodel.callbacks.final import FinalNumbers
from pmodel.callbacks.frechet import FrechetDistance
from pmodel.callbacks.health import Health
from pmodel.callbacks.timing import Timing
from pmodel.capabilities import SamplesClasses
from pmodel.figures.data import classes, missing_labels, sizes
from pmodel.files.printable import shown
from pmodel.processes.launch import is_first
from pmodel.reporting.summary import numbers_table, paths_table
from pmodel.runs.directory import RunDirectory
from pmodel.runs.provenance import provenance
from pmodel.runs.results import Number, write_results

log = logging.getLogger("pmodel")


class Announcement(Callback):
    """Says what is about to be trained on what, once the data are loaded, and what was done to the user's files.

    Raises:
        ValueError: if a class-conditional model is to be trained on examples of which some have no label.
    """

    def __init__(self, name: str, run: RunDirectory):
        self.name, self.run = name, run

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.run.has_trained = True

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        needs_labels = isinstance(pl_module, SamplesClasses) and pl_module.num_classes is not None
        if needs_labels and (said := missing_labels(trainer.datamodule)):
            raise ValueError(f"model.class_conditional=true: {said}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_first():
            data = trainer.datamodule
            counts = data.split_sizes
            device = f"{trainer.world_size} × {trainer.strategy.root_device.type}"
            if trainer.strategy.root_device.type == "cpu":
                count = torch.get_num_threads()
                device += f" with {count} thread{'s' * (count > 1)}"
            resumed = f", resumed in epoch {trainer.current_epoch + 1}" if trainer.ckpt_path else ""
            what = f"{sizes(data)}; {classes(data)}"
            print(
                f"{self.name}: {pl_module.num_parameters:,} parameters, {counts['train']:,} training and"
                f" {counts['validation']:,} validation examples, {device}{resumed}\n{shown(self.run.path)}/",
                *(f"data      {line}" for line in (what, *data.notes)),
                sep="\n",
                flush=True,
            )


def report(run: RunDirectory, name: str, trainer: Trainer, evaluate: str | None = None) -> dict[str, Any]:
    """Writes results.json, and shows its numbers, the paths of the run's files and what evaluates it.

    evaluate: the command; None: nobody evaluates it

    Returns:
        What status.json has of a run that is done: the best value of the monitor, None if it was not measured, the
        monitor's name, and the reason why training was stopped early, where it was.
    """
    if is_first():
        numbers = collect_numbers(trainer, trainer.datamodule.protocol())
        health = next((callback for callback in trainer.callbacks if isinstance(callback, Health)), None)
        diagnosis = [] if health is None else health.diagnosis(trainer, numbers)
        write_results(run.results, numbers, {**_context(run, trainer), "diagnosis": diagnosis})
        figures = sorted(file for file in run.path.glob("figures/*.*") if file.suffix in (".png", *SUFFIXES))
        print("", name, numbers_table(numbers), *diagnosis, paths_table(run.path, figures), sep="\n")
        for line in diagnosis:
            log.info(line)
        if run.last_checkpoint.exists() and evaluate is not None:
            print(f"evaluate  {evaluate}")
    best = next((callback for callback in trainer.callbacks if isinstance(callback, BestCheckpoint)), None)
    model = trainer.lightning_module
    reached = (
        {"value": None} if best is None else {"value": best.best_metrics.get(best.monitor), "monitor": best.monitor}
    )
    return reached if model.stopped_early is None else {**reached, "reason": model.stopped_early}


def collect_numbers(trainer: Trainer, protocol: dict[str, Any]) -> list[Number]:
    """The best epoch's numbers, those of the final weights, parameters, time and throughput."""
    model = trainer.lightning_module
    by_type = {type(callback): callback for callback in trainer.callbacks}
    best: BestCheckpoint | None = by_type.get(BestCheckpoint)
    final: FinalNumbers | None = by_type.get(FinalNumbers)
    timing: Timing | None = by_type.get(Timing)
    frechet: FrechetDistance | None = by_type.get(FrechetDistance)
    of_final: list[Number] = [] if final is None else final.numbers
    # The likelihood of the best weights is what all others are read beside.
    likelihoods = [number for number in of_final if number.get("kind") in ("exact", "bound")]
    numbers = list(likelihoods)
    if best is not None:
        measured = "val" if any(name.startswith("val/") for name in best.best_metrics) else "train"
        for name, value in best.best_metrics.items():
            split, _, quantity = name.partition("/")
            if quantity == "change":
                continue  # of the last epoch, not of the best one: see `ending`
            # What training alone can know, such as a sum over its examples, stands beside what validation says.
            if split == measured or (split == "train" and f"{measured}/{quantity}" not in best.best_metrics):
                own = frechet.protocol() if frechet is not None and quantity == "frechet" else {}
                numbers.append(
                    {
                        "name": quantity,
                        "value": value,
                        "unit": model.units.get(quantity, ""),
                        "split": {"val": "validation"}.get(split, split),
                        "count": best.best_counts.get(name, best.best_counts[split]),
                        "protocol": {**protocol, **own},
                        **({"remark": model.meanings[quantity]} if quantity in model.meanings else {}),
                    }
                )
        if frechet is not None:
            numbers += frechet.numbers
        if best.best_epoch is not None:
            numbers.append({"name": "best_epoch", "value": best.best_epoch, "unit": f"of {trainer.current_epoch}"})
    numbers += [number for number in of_final if number not in likelihoods]
    numbers.append({"name": "parameters", "value": model.num_parameters, "unit": ""})
    if timing is not None:
        numbers.append({"name": "training_time", "value": timing.seconds, "unit": "seconds"})
        numbers.append({"name": "throughput", "value": timing.examples_per_second, "unit": "examples/s"})
    return numbers


def _context(run: RunDirectory, trainer: Trainer) -> dict[str, Any]:
    """What all numbers of a results file share."""
    checkpoint = run.best_checkpoint if run.best_checkpoint.exists() else run.last_checkpoint
    return {
        "checkpoint": str(checkpoint.relative_to(run.path)),
        **provenance(trainer.strategy.root_device, trainer.world_size),
    }
