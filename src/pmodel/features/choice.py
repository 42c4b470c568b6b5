"""Which network's features tell sets of examples apart."""

from pathlib import Path
from typing import Any, Literal

from pmodel.features.dataset_network import feature_extractor
from pmodel.features.extractor import FeatureExtractor


class Features:
    """The choice of a feature network.

    Args:
        kind: `inception`: that of published distances; `classifier`: a small network of the data set's own, or random
            features of points; `auto`: inception for coloured images of at least 32×32, else the other.
        weights: a file with the weights of Inception; None: downloaded on first use.
    """

    def __init__(self, kind: Literal["auto", "classifier", "inception"], weights: str | None):
        self.kind, self.weights = kind, weights

    def extractor(self, data: Any, cache_dir: Path | None) -> Any:
        """The network for a data module."""
        return choose_extractor(self.kind, data, cache_dir, self.weights)


def choose_extractor(
    kind: str, data: Any, cache_dir: Path | None, weights: Path | str | None = None
) -> FeatureExtractor:
    """The network that metric/features names, for a data module; on the CPU when new.

    - classifier: the data set's own small network, `feature_extractor`
    - inception: Inception v3, for images with 1 or 3 channels
    - auto: Inception for colour images with at least 32 pixels along either side, classifier for all others, of which
      Inception's features mean little

    Args:
        weights: Inception's file; None: looked for in `cache_dir`, and downloaded there.
    """
    shape = tuple(data.shape)
    if kind not in ("auto", "classifier", "inception"):
        raise ValueError(f"metric/features={kind}: expected auto, classifier or inception")
    if kind == "auto":
        kind = "inception" if len(shape) == 3 and shape[0] == 3 and min(shape[1:]) >= 32 else "classifier"
    if kind == "classifier":
        return feature_extractor(data, cache_dir)
    from pmodel.features.inception import check_shape, inception_extractor

    check_shape(shape)
    return inception_extractor(weights, cache_dir)
