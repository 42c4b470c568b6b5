"""Unsupervised learning and generative models: one command per experiment."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmodel.config.build import build
    from pmodel.runs.opening import open_run

__all__ = ["__version__", "build", "open_run"]


def __getattr__(name: str) -> Any:
    # Importing the package alone costs nothing; these need torch and lightning.
    if name == "build":
        from pmodel.config.build import build

        return build
    if name == "open_run":
        from pmodel.runs.opening import open_run

        return open_run
    if name == "__version__":
        from importlib.metadata import version

        return version("pmodel")
    raise AttributeError(f"module 'pmodel' has no attribute {name!r}")
