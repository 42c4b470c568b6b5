"""`pmodel.fit`: trains a model in Python, with the run directory and the defaults of the command line."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from pmodel.callbacks.last import Stopped
from pmodel.commands.announce import report
from pmodel.commands.recording import logged
from pmodel.commands.training import trained
from pmodel.config.build import recipe_of, recipe_of_own
from pmodel.config.recipe import Recipe
from pmodel.files.atomic import NotWritten
from pmodel.files.printable import first_line, shown
from pmodel.files.run_files import STATUS
from pmodel.interactive.callers import callers_kept
from pmodel.interactive.notebook import FigureDisplay, NotebookProgress
from pmodel.interactive.run import InteractiveRun
from pmodel.loggers.wandb_start import finish
from pmodel.processes.bar import in_notebook
from pmodel.processes.launch import num_processes
from pmodel.runs.claim import reserve
from pmodel.runs.directory import RunDirectory, WrongInput, made
from pmodel.runs.opening import open_run
from pmodel.runs.saved import evaluate_command

log = logging.getLogger("pmodel")


def fit(model: LightningModule, data: Any = None, *overrides: str, **trainer: Any) -> InteractiveRun:
    """Trains a model, with a run directory as train.py writes one: `run = pmodel.fit(model, max_epochs=10)`.

    Afterwards `model` is `run.model`: it has the weights of best.ckpt (of last.ckpt without one), is in eval mode and
    on the CPU. Another `fit` starts from them, with a new optimizer and in a directory of its own. The caller's random
    state, signal handlers and number of threads are what they were. In a notebook a bar and figures are shown; else
    there are the lines of the command line.

    Args:
        model: from `pmodel.build`, or any model of one of the three ways of training, whose `__init__` calls
            `save_hyperparameters`.
        data: an option's name; or `pmodel.build("data=…")`; or what `pmodel.data.arrays.examples_of` takes: an array or
            a tensor, a pair (x, labels), a Dataset, a DataLoader. 80 percent of what is handed over are for training,
            10 for validation and 10 for test, by `data.split_seed`. None, or left out before overrides: the data of
            `build`.
        overrides: other settings, as typed to train.py: "data.batch_size=32", "callbacks=minimal", "seed=2".
        trainer: settings of the trainer: `max_epochs=10`, `accelerator="cpu"`. Those that are left out are the defaults
            of the command line for this model.

    Returns:
        The run, opened.

    Raises:
        ValueError: of one line, if a setting or the data are wrong; nothing is written then. If the loss is infinite or
            NaN.
        KeyboardInterrupt: after Ctrl-C, or where a notebook's kernel is interrupted. The step is brought to its end,
            and the message says how the run is opened and how it goes on.
    """
    if not isinstance(model, LightningModule):
        raise ValueError(f"model: expected a model, such as pmodel.build('vae'), not {type(model).__name__}")
    if isinstance(data, str) and "=" in data:
        data, overrides = None, (data, *overrides)
    built = recipe_of(model)
    if built is None and data is None:
        raise ValueError("data: expected data to train on, since the model was not made by pmodel.build")
    recipe, node = built or recipe_of_own(model)
    of_data = recipe_of(data) if isinstance(data, LightningDataModule) else None
    settings = {f"trainer.{key}": value for key, value in trainer.items()}
    recipe = recipe.having(data if of_data is None else of_data[0], overrides, **settings)
    config = recipe.composed()
    config.model = node
    recipe.check(config)
    _check_devices(OmegaConf.to_container(config.trainer, resolve=True))
    run = RunDirectory(_folder(config))
    config.paths.run_dir = str(run.path)
    with callers_kept(), run.begun(config, recipe.typed, None, False) as start:
        values = OmegaConf.to_container(config, resolve=True)
        module = _module(recipe, values["data"], model)
        with _noted(run, recipe) as reached:
            trainer = trained(run, values, start, model.train(), module, _loggers_of_notebook(values))
            again = evaluate_command(shown(run.path)) if recipe.in_files else "run.evaluate(), in Python"
            reached |= report(run, values["name"], trainer, again)
    return InteractiveRun.of(open_run(run.path, model=model.cpu(), data=module))


def _check_devices(trainer: dict[str, Any]) -> None:
    if num_processes(trainer) > 1 or trainer["num_nodes"] > 1:
        raise ValueError(
            f"trainer.devices={trainer['devices']}: expected 1, since pmodel.fit trains in this process; train.py takes"
            " several"
        )


def _folder(config: DictConfig) -> Path:
    """The directory that was asked for, or a new one; it is there, and goes again if the input turns out wrong."""
    typed = config.paths.run_dir != "."
    folder = Path(config.paths.run_dir if typed else f"{config.paths.log_dir}/{config.paths.kind}/{config.name}")
    folder = folder if typed else folder / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if typed and (folder / STATUS).exists():
        raise ValueError(f"paths.run_dir={shown(folder)}: there is a run in it")
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        if typed:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = reserve(folder)
    except OSError as error:
        raise ValueError(f"{shown(folder)}: can't be written to ({error.strerror})") from None
    made[:] = [folder, *missing]
    return folder


def _module(recipe: Recipe, node: dict[str, Any], model: LightningModule) -> LightningDataModule:
    """The data module of its settings, for which the model is made."""
    try:
        data = recipe.data(node)
        of_model = getattr(model, "hparams", {})
        for key, has in (("data_shape", list(data.shape)), ("num_levels", data.num_levels)):
            expected = of_model.get(key)
            if expected is not None and has != (list(expected) if key == "data_shape" else expected):
                raise ValueError(f"data: {key}={has}, but the model was built for {key}={expected}")
        data.setup("fit")
    except ValueError as error:
        raise WrongInput(first_line(error)) from None
    return data


def _loggers_of_notebook(settings: dict[str, Any]) -> tuple[Logger, ...]:
    """In a notebook, what shows figures there; the bar becomes one for notebooks."""
    progress = settings["callbacks"].get("progress")
    if not (in_notebook() and settings["trainer"]["enable_progress_bar"]):
        return ()
    if progress:
        progress["_target_"] = f"{NotebookProgress.__module__}.{NotebookProgress.__qualname__}"
    return (FigureDisplay(),)


@contextmanager
def _noted(run: RunDirectory, recipe: Recipe) -> Iterator[dict[str, Any]]:
    """Keeps train.log and status.json while a training is on. What is put into the dict that it gives is added to the
    status of a run that is done."""
    reached: dict[str, Any] = {}
    code = 1
    with logged(run):
        try:
            run.set_status("running")
            yield reached
            code = 0
            run.set_status("done", **reached)
            log.info("done")
        except (Stopped, KeyboardInterrupt, SystemExit) as ending:
            # Lightning turns a KeyboardInterrupt into SystemExit(1).
            if isinstance(ending, SystemExit) and not isinstance(ending.__context__, KeyboardInterrupt):
                raise
            number = getattr(ending, "signal_number", signal.SIGINT)
            reason = f"stopped by {signal.Signals(number).name}"
            run.set_status("stopped", reason=reason)
            log.info(reason)
            if number != signal.SIGINT:
                signal.raise_signal(number)  # which is not for the training alone
            saved = run.last_checkpoint.exists()
            opened = f"; pmodel.open_run({str(run.path)!r}) opens the run" if saved else ""
            raise KeyboardInterrupt(f"{reason}{opened}{run.how_to_go_on if recipe.in_files else ''}") from None
        except Exception as error:
            if isinstance(error, ValueError | MisconfigurationException) and not run.has_trained:
                raise WrongInput(first_line(error)) from None
            with suppress(NotWritten):
                run.set_status("failed", reason=f"{type(error).__name__}: {first_line(error)}")
            log.exception("failed")
            raise
        finally:
            finish(code)
