"""Checks what is asked of a search, before Optuna or anything heavy is imported."""

import importlib.util

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from pmodel.config.tree import ConfigError, suggest
from pmodel.settings.annotations import choices
from pmodel.settings.signatures import signature

SWEEPER = "hydra_plugins.pmodel.search.OptunaSweeper"

LEAST = {"n_trials": 1, "n_jobs": 1, "num_startup_trials": 1, "seed": 0}


def check_search(sweeper: DictConfig, overrides: list[Override]) -> bool:
    """Whether `hydra.sweeper` is the one that searches, and all of it is right.

    Args:
        overrides: what is typed, and the space that a file of the group `sweep` brings.

    Raises:
        ConfigError: at the first thing wrong.
    """
    if sweeper.get("_target_") != SWEEPER:
        return False
    if importlib.util.find_spec("optuna") is None:
        chosen = [o.input_line for o in overrides if o.key_or_group in ("sweep", "hydra/sweeper")]
        raise ConfigError(f"{' '.join(chosen)}: needs Optuna: uv run --extra optuna train.py …")
    for key, least in LEAST.items():
        value = sweeper.get(key)
        if value is None and key == "n_jobs":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"hydra.sweeper.{key}={value}: expected a whole number of at least {least}")
    for key in ("direction", "sampler"):
        parameter = signature(SWEEPER).parameters[key]
        options, value = choices(parameter.annotation, parameter.module), sweeper.get(key)
        if value not in options and not (value is None and key == "direction"):
            listed = ", ".join(map(str, options))
            raise ConfigError(
                f"hydra.sweeper.{key}={value}: expected one of {listed}{suggest(str(value), list(map(str, options)))}"
            )
    if not any(o.is_sweep_override() for o in overrides):
        raise ConfigError("a search needs something to search, such as 'model.latent_dim=range(4,33,4)'")
    return True
