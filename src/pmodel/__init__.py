"""Unsupervised learning and generative models: one command per experiment."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmodel.runs import open_run

__all__ = ["open_run"]


def __getattr__(name: str) -> Any:
    # Importing the package alone costs nothing; `runs` needs torch and lightning.
    if name == "open_run":
        from pmodel.runs import open_run

        return open_run
    raise AttributeError(f"module 'pmodel' has no attribute {name!r}")
