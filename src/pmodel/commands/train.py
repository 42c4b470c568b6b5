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
    from pmodel.commands.announce import report
    from pmodel.commands.recording import recorded
    from pmodel.commands.training import trained
    from pmodel.processes.threads import threads_restored
    from pmodel.runs.saved import evaluate_command

    with threads_restored(), recorded(run, settings, processes) as reached:
        if settings["check"]:
            settings["trainer"] |= {"max_epochs": 1, "limit_train_batches": 1}
            settings["data"] |= {"limit": settings["data"]["batch_size"]}
            settings["data"] |= {"num_labels": None} if "num_labels" in settings["data"] else {}
        trainer = trained(run, settings, start)
        evaluate = None if settings["check"] else evaluate_command(shown(run.path))
        reached |= report(run, settings["name"], trainer, evaluate)
        if settings["check"] and is_first():
            print("check     one batch went through everything")
    return reached.get("value")


def run() -> None:
    """Does what the words of the command line ask for, and ends the process where they are wrong."""
    with interruptible(cut):
        sys.argv[1:] = checked_command_line("train", sys.argv[1:])
        defer_imports()
        main()
