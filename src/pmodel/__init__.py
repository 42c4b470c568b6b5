"""Unsupervised learning and generative models: one command per experiment."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmodel.config.build import build
    from pmodel.interactive.fit import fit
    from pmodel.interactive.results import evaluate
    from pmodel.interactive.run import open_run, picture

__all__ = ["__version__", "build", "evaluate", "fit", "open_run", "picture"]

# Importing the package alone costs nothing; these need torch and lightning.
_MODULES = {
    "build": "pmodel.config.build",
    "fit": "pmodel.interactive.fit",
    "evaluate": "pmodel.interactive.results",
    "open_run": "pmodel.interactive.run",
    "picture": "pmodel.interactive.run",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("pmodel")
    raise AttributeError(f"module 'pmodel' has no attribute {name!r}")
