"""A training from its settings to its last step, as train.py and `pmodel.fit` have it."""

from typing import Any

import lightning
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger

from pmodel.callbacks.no_profiler import NoProfiler
from pmodel.callbacks.top_profiler import TopProfiler
from pmodel.commands.announce import Announcement
from pmodel.commands.strategies import adapted, plugins
from pmodel.instantiate import instantiate
from pmodel.processes.bar import Bar
from pmodel.processes.launch import is_first, launched, threads_asked_for
from pmodel.processes.threads import compute_with, threads_for
from pmodel.runs.directory import RunDirectory, Start
from pmodel.runs.opening import with_kept_parts


def trained(
    run: RunDirectory,
    settings: dict[str, Any],
    start: Start,
    model: LightningModule | None = None,
    data: LightningDataModule | None = None,
    more_loggers: tuple[Logger, ...] = (),
) -> Trainer:
    """Builds what the settings describe and trains it.

    model, data: None: as the settings describe them; else these
    more_loggers: besides those of the settings
    """
    Bar.shown = settings["trainer"]["enable_progress_bar"]
    if not Bar.shown:
        settings["callbacks"]["progress"] = None
    lightning.seed_everything(settings["seed"], verbose=False)
    asked = threads_asked_for(settings.get("threads", "auto"))
    compute_with(start.threads or asked or 1)
    data = instantiate(settings["data"]) if data is None else data
    model = instantiate(with_kept_parts(settings["model"], start.resume_from)) if model is None else model
    loggers = [*(instantiate(node) for node in settings["logger"].values() if node), *more_loggers]
    callbacks = [instantiate(node) for node in settings["callbacks"].values() if node]
    callbacks.append(Announcement(settings["name"], run))
    profiler = settings["trainer"]["profiler"] or NoProfiler()
    profiler = TopProfiler() if profiler == "simple" else profiler
    chosen = {"logger": loggers, "callbacks": callbacks, "profiler": profiler, "plugins": plugins(launched())}
    # Lightning has bars and checkpoints of its own where there is no callback for them.
    chosen["enable_progress_bar"] = bool(settings["callbacks"].get("progress"))
    chosen["enable_checkpointing"] = any(isinstance(callback, Checkpoint) for callback in callbacks)
    trainer = instantiate(settings["trainer"], **chosen, **adapted(model, settings["trainer"]))
    usual = asked or threads_for(model, data, trainer)
    threads = start.threads or usual
    if threads != usual and is_first():
        print(f"threads: {threads}, as when the run began (a new run would take {usual} here)", flush=True)
    compute_with(threads)
    run.set_status("running", threads=threads)
    for logger in loggers:
        logger.log_hyperparams(settings)
    trainer.fit(model, datamodule=data, ckpt_path=start.resume_from, weights_only=True)
    return trainer
