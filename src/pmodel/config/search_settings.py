"""Checks what is asked of a search, before Optuna or anything heavy is imported."""

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from pmodel.config.early_checks import missing_library
from pmodel.config.tree import Checker, ConfigError, Origins
from pmodel.runs.typed import CONFIG_DIR

SWEEPER = "hydra_plugins.pmodel.search.OptunaSweeper"


def check_search(sweeper: DictConfig, overrides: list[Override]) -> bool:
    """Whether `hydra.sweeper` is the one that searches, and all of it is right.

    Args:
        overrides: what is typed, and the space that a file of the group `sweep` brings.

    Raises:
        ConfigError: at the first thing wrong.
    """
    if sweeper.get("_target_") != SWEEPER:
        return False
    if library := missing_library(SWEEPER):
        chosen = [o.input_line for o in overrides if o.key_or_group in ("sweep", "hydra/sweeper")]
        raise ConfigError(f"{' '.join(chosen)}: needs {library}")
    typed = Origins({o.key_or_group: o.input_line for o in overrides}, [CONFIG_DIR], list)
    Checker(typed, types=True).target(OmegaConf.to_container(sweeper, resolve=True), "hydra.sweeper")
    if not any(o.is_sweep_override() for o in overrides):
        raise ConfigError("a search needs something to search, such as 'model.latent_dim=range(4,33,4)'")
    return True
