"""Builds one object of conf/ in Python, with the defaults that the command line has."""

from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pmodel.config.errors import one_line_errors
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import Checker, Origins, show
from pmodel.instantiate import instantiate
from pmodel.runs.typed import CONFIG_DIR


def build(option: str, *overrides: str, **settings: Any) -> Any:
    """The model, or the data module, of an option: `build("model=vae", "data=digits", latent_dim=8)`.

    Args:
        option: `model=…` or `data=…`: what is built.
        overrides: what else decides its defaults, as typed to train.py.
        settings: values in place of its own.

    Raises:
        ValueError: of one line, if there is no such option or setting, or a setting is out of its range.
    """
    group = option.partition("=")[0]
    if group not in ("model", "data"):
        raise ValueError(f"{option}: expected model=… or data=…")
    with one_line_errors((CONFIG_DIR,)):
        config = OmegaConf.create(_composed(option, *overrides))
        for key, value in settings.items():
            config[group][key] = str(value) if isinstance(value, Path) else value
        node = OmegaConf.to_container(config[group], resolve=True)
        given = {f"{group}.{key}": f"{group}.{key}={show(value)}" for key, value in settings.items()}
        Checker(Origins(given, [CONFIG_DIR], list), types=False).tree(node, group)
    return instantiate(node)


@cache
def _composed(*overrides: str) -> str:
    """The config as YAML, not resolved."""
    register_resolvers()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return OmegaConf.to_yaml(compose("train", ["name=build", "paths.run_dir=.", *overrides]))
