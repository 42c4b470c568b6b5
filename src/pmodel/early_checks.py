"""What is wrong with a trainer's or a launcher's settings beyond their types, said before anything is loaded."""

from collections.abc import Mapping
from shutil import which
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from pmodel.config_tree import ConfigError
from pmodel.launch import counted


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuses counts that Lightning would refuse only once it is loaded.

    Raises:
        ConfigError: at the first one.
    """
    devices = trainer.get("devices", 1)
    if str(devices) not in ("auto", "-1") and counted(devices) is None:
        raise ConfigError(f"trainer.devices={devices}: expected a number of at least 1, a list of them, or auto")
    for key, least in {"num_nodes": 1, "max_epochs": -1, "max_steps": -1}.items():
        value = trainer.get(key)
        if isinstance(value, int) and value < least:
            unlimited = "" if least > 0 else ", which is without an end"
            raise ConfigError(f"trainer.{key}={value}: expected a number of at least {least}{unlimited}")


def check_schedules(settings: Mapping[str, Any]) -> None:
    """Refuses a learning-rate schedule that needs a training's length, where the training has no end.

    Raises:
        ConfigError: at the first one.
    """
    model, trainer = settings.get("model"), settings.get("trainer")
    node = model.get("schedule") if isinstance(model, Mapping) else None
    if not (isinstance(node, Mapping) and isinstance(trainer, Mapping)):
        return
    endless = trainer.get("max_epochs") == -1 and trainer.get("max_steps") == -1 and trainer.get("max_time") is None
    players = {"": node} if "scheduler" in node else {f".{name}": child for name, child in node.items()}
    for name, schedule in players.items():
        length = schedule.get("length") if isinstance(schedule, Mapping) else None
        if endless and length is not None and length not in schedule["scheduler"]:
            raise ConfigError(
                f"trainer.max_epochs=-1: expected an end, which model.schedule{name} falls towards; set"
                " trainer.max_epochs, trainer.max_steps or trainer.max_time, or choose model/schedule=constant"
            )


def check_launcher(hydra: DictConfig | None, overrides: list[Override], multirun: bool) -> None:
    """Refuses a launcher where there are no jobs to launch, or where it can't be used.

    Raises:
        ConfigError: at the first thing wrong.
    """
    typed = [o for o in overrides if o.key_or_group == "hydra/launcher"]
    if typed and not multirun:
        raise ConfigError(f"{typed[-1].input_line}: a launcher starts the jobs of a multirun; add --multirun (-m)")
    if hydra is None:
        return
    n_jobs = hydra.launcher.get("n_jobs")
    if n_jobs is not None and (not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or n_jobs < 1):
        raise ConfigError(f"hydra.launcher.n_jobs={n_jobs}: expected a whole number of at least 1, or null")
    if typed and typed[-1].value() == "slurm" and which("sbatch") is None:
        raise ConfigError(
            "hydra/launcher=slurm: there is no sbatch on this machine; hydra/launcher=submitit_local rehearses it"
        )
