"""`pmodel train`: trains a model on a data set."""

import sys
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from pmodel.commands.command_line import checked_command_line
from pmodel.commands.deferred import defer_imports
from pmodel.commands.sweeps import cut
from pmodel.files.printable import shown
from pmodel.processes.launch import Processes, end_with_parent, is_first, launched, num_processes, threads_asked_for
from pmodel.processes.stopping import at_once, interruptible, worker_is_done
from pmodel.runs.directory import RunDirectory, Start
from pmodel.runs.typed import CONFIG_DIR, arguments_of_run


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="train")
def main(config: DictConfig) -> float | None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if worker_is_done():
        return None
    hydra_config, launch = HydraConfig.get(), launched()
    settings = OmegaConf.to_container(config, resolve=True)
    run = RunDirectory(settings["paths"]["run_dir"])
    again = hydra_config.mode == RunMode.MULTIRUN or launch.by in ("torchrun", "slurm")
    with at_once(), run.begun(config, list(hydra_config.overrides.task), settings["resume"], again) as start:
        if start.ended:
            print(f"skipped   {shown(run.path)}/ is {start.ended['status']}", flush=True)
            return start.ended.get("value")
        if launch.by == "pmodel":
            end_with_parent()
        count = num_processes(settings["trainer"]) if launch.by == "user" else 1
        command = [sys.executable, "-m", "pmodel", "train", *arguments_of_run(run.path, start.resume_from)]
        threads = start.threads or threads_asked_for(settings.get("threads", "auto"))
        # The other processes load their libraries while this one does.
        with Processes(count, command, run.status_of, run.note_death, threads) as processes:
            return train(run, settings, start, processes)


def train(run: RunDirectory, settings: dict[str, Any], start: Start, processes: Processes) -> float | None:
    """Builds what the settings describe and trains it; gives the best value of its monitor."""
    # These take seconds: a wrong config has been refused by now.
    import lightning
    from lightning.pytorch.callbacks import Checkpoint

    from pmodel.callbacks.no_profiler import NoProfiler
    from pmodel.commands.announce import Announcement, report
    from pmodel.commands.recording import recorded
    from pmodel.commands.strategies import adapted, plugins
    from pmodel.instantiate import instantiate
    from pmodel.processes.bar import Bar
    from pmodel.processes.threads import compute_with, threads_for, threads_restored
    from pmodel.runs.opening import with_kept_parts

    with threads_restored(), recorded(run, settings, processes) as reached:
        if settings["check"]:
            settings["trainer"] |= {"max_epochs": 1, "limit_train_batches": 1}
            settings["data"] |= {"limit": settings["data"]["batch_size"]}
            settings["data"] |= {"num_labels": None} if "num_labels" in settings["data"] else {}
        Bar.shown = settings["trainer"]["enable_progress_bar"]
        if not Bar.shown:
            settings["callbacks"]["progress"] = None
        lightning.seed_everything(settings["seed"], verbose=False)
        asked = threads_asked_for(settings.get("threads", "auto"))
        compute_with(start.threads or asked or 1)
        data = instantiate(settings["data"])
        model = instantiate(with_kept_parts(settings["model"], start.resume_from))
        loggers = [instantiate(node) for node in settings["logger"].values() if node]
        callbacks = [instantiate(node) for node in settings["callbacks"].values() if node]
        callbacks.append(Announcement(settings["name"], run))
        profiler = settings["trainer"]["profiler"] or NoProfiler()
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
        reached["value"] = report(run, settings["name"], trainer, settings["check"])
    return reached.get("value")


def run() -> None:
    """Does what the words of the command line ask for, and ends the process where they are wrong."""
    with interruptible(cut):
        sys.argv[1:] = checked_command_line("train", sys.argv[1:])
        defer_imports()
        main()
