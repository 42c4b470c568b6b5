"""Which network's features tell sets of examples apart."""

from pathlib import Path
from typing import Any, Literal

from pmodel.features.dataset_network import feature_extractor
from pmodel.features.extractor import FeatureExtractor


class Features:
    """The choice of a feature network.

    Args:
        kind: `inception`: Inception v3, that of published distances, for images with 1 or 3 channels; `classifier`: the
            data set's own small network, `feature_extractor`; `auto`: inception for coloured images of at least 32×32,
            else the other, since Inception's features mean little there.
        weights: Inception's file; None: looked for in the cache, and downloaded there.
    """

    def __init__(self, kind: Literal["auto", "classifier", "inception"], weights: str | None):
        self.kind, self.weights = kind, weights

    def extractor(self, data: Any, cache_dir: Path | None) -> FeatureExtractor:
        """The network for a data module; on the CPU when new."""
        kind, shape = self.kind, tuple(data.shape)
        if kind not in ("auto", "classifier", "inception"):
            raise ValueError(f"metric/features={kind}: expected auto, classifier or inception")
        if kind == "auto":
            kind = "inception" if len(shape) == 3 and shape[0] == 3 and min(shape[1:]) >= 32 else "classifier"
        if kind == "classifier":
            return feature_extractor(data, cache_dir)
        from pmodel.features.inception import check_shape, inception_extractor

        check_shape(shape)
        return inception_extractor(self.weights, cache_dir)
