"""Trains a model on a data set: `uv run train.py --help`."""

import sys

import hydra
from omegaconf import DictConfig, OmegaConf

from pmodel.command_line import checked_command_line


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    # These take seconds: a wrong config has been refused by now.
    import lightning
    from hydra.core.hydra_config import HydraConfig

    from pmodel.announce import Announcement, report
    from pmodel.callbacks.no_profiler import NoProfiler
    from pmodel.instantiate import instantiate
    from pmodel.runs import RunDirectory, checkpoint_to_resume, recorded
    from pmodel.training.strategies import adapted

    run = RunDirectory(config.paths.run_dir)
    settings = OmegaConf.to_container(config, resolve=True)
    resume_from = checkpoint_to_resume(run, settings["trainer"]) if settings["resume"] is not None else None
    run.write_config(config, list(HydraConfig.get().overrides.task))
    with recorded(run):
        if settings["check"]:
            settings["trainer"] |= {"max_epochs": 1, "limit_train_batches": 1}
            settings["data"] |= {"limit": settings["data"]["batch_size"]}
            settings["data"] |= {"num_labels": None} if "num_labels" in settings["data"] else {}
        lightning.seed_everything(settings["seed"], verbose=False)
        data = instantiate(settings["data"])
        model = instantiate(settings["model"])
        loggers = [instantiate(node) for node in settings["logger"].values() if node]
        callbacks = [instantiate(node) for node in settings["callbacks"].values() if node]
        callbacks.append(Announcement(settings["name"], run))
        profiler = settings["trainer"]["profiler"] or NoProfiler()
        chosen = {"logger": loggers, "callbacks": callbacks, "profiler": profiler}
        trainer = instantiate(settings["trainer"], **chosen, **adapted(model, settings["trainer"]))
        for logger in loggers:
            logger.log_hyperparams(settings)
        trainer.fit(model, datamodule=data, ckpt_path=resume_from, weights_only=True)
        report(run, settings["name"], trainer, settings["check"])
        if settings["check"]:
            print("check     one batch went through everything")


if __name__ == "__main__":
    sys.argv[1:] = checked_command_line("train", sys.argv[1:])
    main()
