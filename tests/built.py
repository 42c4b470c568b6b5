"""Models, and what is built beside them, by the names of their classes, with the defaults of conf/."""

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from support import config

from pmodel import build


def with_defaults(option: str, *names: str, **fixed: Any) -> Callable[..., Any]:
    """A function of the settings with these names, in this order, and of others by their names."""

    def make(*values: Any, **settings: Any) -> Any:
        return build(f"model={option}", **{**fixed, **dict(zip(names, values, strict=False)), **settings})

    return make


Autoencoder = with_defaults("autoencoder", "data_shape", "latent_dim", "network", "optimizer", "schedule")
Gaussian = with_defaults("gaussian", "data_shape", "covariance_type")
GMM = with_defaults("gmm", "data_shape", "num_components", "covariance_type")
KDE = with_defaults("kde", "data_shape", "num_levels", "bandwidth", kernel="diagonal")
KMeans = with_defaults("kmeans", "data_shape", "num_clusters", "start")
PCA = with_defaults("pca", "data_shape", "num_components")
PCAGMM = with_defaults("pca_gmm", "data_shape", "num_dims", "num_components")
# Networks without a hidden layer.
LINEAR = {
    part: {"_target_": f"pmodel.nets.mlp.MLP{part.title()}", "hidden_dims": []} for part in ("encoder", "decoder")
}
VAE = with_defaults(
    "vae", *("data_shape", "num_levels", "latent_dim", "likelihood", "network", "optimizer", "schedule")
)
HierarchicalVAE = with_defaults(
    "vae_hierarchical",
    *("data_shape", "num_levels", "latent_dims", "hidden_dims", "activation", "likelihood", "network"),
    *("optimizer", "schedule"),
)


def __getattr__(name: str) -> Callable[..., Any]:
    """A function of the settings, in their order or by name, of a class that conf/ builds beside models and data."""
    if name.startswith("_"):
        raise AttributeError(name)

    def make(*values: Any, **settings: Any) -> Any:
        target = next(target for target in _nodes() if target.endswith(f".{name}"))
        cls = getattr(importlib.import_module(target.removesuffix(f".{name}")), name)
        node = {key: value for key, value in _nodes()[target].items() if key != "_target_"}
        return cls(**{**node, **dict(zip(inspect.signature(cls).parameters, values, strict=False)), **settings})

    return make


@cache
def _nodes() -> dict[str, dict[str, Any]]:
    """What conf/ says of each class that it builds."""
    found: dict[str, dict[str, Any]] = {}

    def note(node: Any) -> None:
        if isinstance(node, dict):
            if "_target_" in node:
                found.setdefault(node["_target_"], node)
            for child in node.values():
                note(child)

    note(config("model=vae"))
    note(config("model=vae", "logger=wandb"))
    note(config("run=x", "cache_dir=null", name="eval"))
    note(config("sweep=vae_optuna"))
    return found
