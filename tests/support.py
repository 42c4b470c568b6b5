"""What tests call to compose a config and to build from it."""

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pmodel.config import CONFIG_DIR, register_resolvers

ROOT = Path(__file__).parents[1]


def config(*overrides: str, name: str = "train") -> dict[str, Any]:
    """The composed, resolved config as plain dicts."""
    register_resolvers()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        composed = compose(name, ["name=test", "paths.run_dir=unused", *overrides])
    return OmegaConf.to_container(composed, resolve=True)


def build(*overrides: str) -> tuple[Any, Any]:
    """The model and the data module of a config."""
    from pmodel.instantiate import instantiate

    plain = config(*overrides)
    return instantiate(plain["model"]), instantiate(plain["data"])


def run_directory(root: Path) -> Path:
    """The one run directory below a folder."""
    (status,) = root.glob("**/status.json")
    return status.parent
