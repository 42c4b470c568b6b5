"""The models by the names of their classes, built with the defaults of conf/."""

from collections.abc import Callable
from typing import Any

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
VAE = with_defaults(
    "vae", *("data_shape", "num_levels", "latent_dim", "likelihood", "network", "optimizer", "schedule")
)
HierarchicalVAE = with_defaults(
    "vae_hierarchical",
    *("data_shape", "num_levels", "latent_dims", "hidden_dims", "activation", "likelihood", "network"),
    *("optimizer", "schedule"),
)
