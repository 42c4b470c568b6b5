"""Features of real examples, computed once for each data set, split and feature network."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from pmodel.metrics.features import FeatureExtractor
from pmodel.metrics.tensor_files import read_tensors, sha256, write_tensors

log = logging.getLogger("pmodel")

# Part of the name of a file: counts up with every change that makes other features of the same examples.
RECIPE = 1
# Larger features are computed each time.
MAX_BYTES = 2**30


def cached_features(extractor: FeatureExtractor, x: Tensor, cache_dir: Path | str | None) -> Tensor:
    """Features (N, D), float32, on the CPU, of examples x (N, …) on any device.

    They are kept in `cache_dir` (None: nowhere), under a name that is a hash of the examples, of the network's weights
    and of its resizer. A file that is damaged is replaced.
    """
    features = find_features(extractor, x, cache_dir)
    if features is None:
        features = extractor.features(x).cpu()
        keep_features(features, extractor, x, cache_dir)
    return features


def find_features(extractor: FeatureExtractor, x: Tensor, cache_dir: Path | str | None) -> Tensor | None:
    """The features that are kept for these examples; None where there are none, or they are damaged."""
    if cache_dir is None:
        return None
    file = _file(extractor, x, cache_dir)
    stored = read_tensors(file, "its features are computed anew")
    if stored is None or _are_features(stored, len(x)):
        return None if stored is None else stored["features"]
    log.warning("%s holds something else, so its features are computed anew", file)
    return None


def keep_features(features: Tensor, extractor: FeatureExtractor, x: Tensor, cache_dir: Path | str | None) -> None:
    """Keeps the features of these examples for the next evaluation."""
    if cache_dir is not None and features.nbytes <= MAX_BYTES:
        file = _file(extractor, x, cache_dir)
        write_tensors(file, {"features": features}, "the next evaluation computes its features anew")


def _file(extractor: FeatureExtractor, x: Tensor, cache_dir: Path | str) -> Path:
    network = (extractor.name, extractor.hash, extractor.resizer)
    key = sha256(str(RECIPE), *network, str(x.dtype), str(tuple(x.shape)), x)
    return Path(cache_dir).expanduser() / f"features-{key[:24]}.pt"


def _are_features(stored: dict[str, Tensor], N: int) -> bool:
    z = stored.get("features")
    return z is not None and z.dim() == 2 and len(z) == N and z.dtype == torch.float32
