"""Which network's features tell sets of examples apart."""

from pathlib import Path
from typing import Any, Literal

from pmodel.metrics.features import choose_extractor


class Features:
    """The choice of a feature network.

    Args:
        kind: `inception`: that of published distances; `classifier`: a small network of the data set's own, or random
            features of points; `auto`: inception for coloured pictures of at least 32×32, else the other.
        weights: a file with the weights of Inception; None: downloaded on first use.
    """

    def __init__(self, kind: Literal["auto", "classifier", "inception"] = "auto", weights: str | None = None):
        self.kind, self.weights = kind, weights

    def extractor(self, data: Any, cache_dir: Path | None) -> Any:
        """The network for a data module."""
        return choose_extractor(self.kind, data, cache_dir, self.weights)
