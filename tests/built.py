"""The models by the names of their classes, built with the defaults of conf/."""

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


def part(target: str) -> Callable[..., Any]:
    """A function of the settings of a class that conf/ builds beside models and data, in their order or by name."""
    module, name = target.rsplit(".", 1)

    def make(*values: Any, **settings: Any) -> Any:
        cls = getattr(importlib.import_module(module), name)
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


CodeArithmetic = part("pmodel.figures.arithmetic.CodeArithmetic")
ClusterCentres = part("pmodel.figures.clusters.ClusterCentres")
ClusterMap = part("pmodel.figures.clusters.ClusterMap")
Completions = part("pmodel.figures.completions.Completions")
PrincipalComponentsFigure = part("pmodel.figures.components.PrincipalComponentsFigure")
DataFigure = part("pmodel.figures.data.DataFigure")
DensityFigure = part("pmodel.figures.densities.DensityFigure")
DiscriminatorField = part("pmodel.figures.field.DiscriminatorField")
SampleGrid = part("pmodel.figures.images.SampleGrid")
ReconstructionGrid = part("pmodel.figures.images.ReconstructionGrid")
Interpolations = part("pmodel.figures.images.Interpolations")
LatentManifold = part("pmodel.figures.latents.LatentManifold")
LatentScatter = part("pmodel.figures.latents.LatentScatter")
LikelihoodMap = part("pmodel.figures.likelihood_map.LikelihoodMap")
NearestNeighbours = part("pmodel.figures.neighbours.NearestNeighbours")
SamplesOverTime = part("pmodel.figures.over_time.SamplesOverTime")
Pairs = part("pmodel.figures.pairs.Pairs")
Traversals = part("pmodel.figures.traversals.Traversals")
Snapshots = part("pmodel.callbacks.checkpoints.Snapshots")
FinalNumbers = part("pmodel.callbacks.final.FinalNumbers")
FrechetDistance = part("pmodel.callbacks.frechet.FrechetDistance")
LastCheckpoint = part("pmodel.callbacks.last.LastCheckpoint")
Progress = part("pmodel.callbacks.progress.Progress")
Pruning = part("pmodel.callbacks.pruning.Pruning")
LinearProbe = part("pmodel.evaluation.codes.LinearProbe")
Likelihood = part("pmodel.evaluation.likelihood.Likelihood")
LikelihoodEstimate = part("pmodel.evaluation.estimates.LikelihoodEstimate")
Parzen = part("pmodel.evaluation.parzen.Parzen")
Memorization = part("pmodel.evaluation.memorization.Memorization")
Clouds = part("pmodel.evaluation.points.Clouds")
Modes = part("pmodel.evaluation.points.Modes")
SampleQuality = part("pmodel.evaluation.samples.SampleQuality")
WandbLogger = part("pmodel.loggers.wandb.WandbLogger")
Features = part("pmodel.features.choice.Features")
