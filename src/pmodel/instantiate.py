"""Builds objects from plain dicts with a `_target_`; the only place that does, and only for targets it trusts."""

import importlib
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate

# A checkpoint carries such dicts too: a target outside these would let a downloaded file run anything.
TRUSTED = (
    "pmodel.",
    "torch.nn.",
    "torch.optim.",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.",
    "lightning.pytorch.profilers.",
    "lightning.pytorch.strategies.",
)


def instantiate(node: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """The object that `node` describes, with further arguments; nested dicts stay plain dicts.

    Raises:
        ValueError: if a `_target_` anywhere in the node is not one of the trusted ones, or as the target itself does;
            Hydra's wrapping, which hides the message behind the target's name, is taken off.
    """
    for target in targets(node):
        check_target(target)
    try:
        return hydra_instantiate(node, *args, _convert_="all", _recursive_=False, **kwargs)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None


def check_target(target: str, prefixes: tuple[str, ...] = TRUSTED) -> None:
    """Refuses what is not a class of a module whose name begins with one of `prefixes`.

    A dotted name can go through what a module has imported, to anything: pmodel.runs.opening.torch.load. So its first
    part has to be a module of that very name, and its last a class that was written in one of the packages.

    Raises:
        ValueError: of one line.
    """
    refused = ValueError(f"_target_={target}: only classes of {', '.join(prefixes)} are built")
    if not target.startswith(prefixes):
        raise refused
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"_target_={target}: {error}") from None
    packages = {".".join(prefix.split(".")[:2]).rstrip(".") for prefix in prefixes}
    if not (isinstance(found, type) and any(f"{found.__module__}.".startswith(f"{name}.") for name in packages)):
        raise refused


def targets(node: Any) -> list[str]:
    """Each `_target_` in nested dicts and lists."""
    if isinstance(node, dict):
        own = [str(node["_target_"])] if "_target_" in node else []
        return own + [t for child in node.values() for t in targets(child)]
    if isinstance(node, list | tuple):
        return [t for child in node for t in targets(child)]
    return []
