"""Builds objects from plain dicts with a `_target_`; the only place that does, and only for targets it trusts."""

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
    for target in _targets(node):
        if not target.startswith(TRUSTED):
            raise ValueError(f"_target_={target}: only targets that begin with {', '.join(TRUSTED)} are built")
    try:
        return hydra_instantiate(node, *args, _convert_="all", _recursive_=False, **kwargs)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None


def _targets(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [str(node["_target_"])] if "_target_" in node else []
        return own + [t for child in node.values() for t in _targets(child)]
    if isinstance(node, list | tuple):
        return [t for child in node for t in _targets(child)]
    return []
