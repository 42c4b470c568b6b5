"""What a model is asked at the end, and how each answer is stamped: metrics on one side, capabilities on the other."""

import importlib
import pkgutil
from typing import Any


def declared() -> dict[str, Any]:
    """Each `Quantity` that a metric of this package declares, by its name."""
    from pmodel.evaluation.findings import Metric

    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    metrics = [metric for metric in Metric.__subclasses__() if metric.__module__.startswith(f"{__name__}.")]
    return {quantity.name: quantity for metric in metrics for quantity in metric.quantities}
