"""Builds objects from plain dicts with a `_target_`; the only place that does, and only for targets it trusts."""

import importlib
import sys
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate

from pmodel.files.project import trusted_packages

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
# Built where the user's own settings name a class in it, and never where a run does: see `Checker.trusted`.
TYPED_ALONE = "sklearn."


def instantiate(node: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """The object that `node` describes, with further arguments; nested dicts stay plain dicts.

    Raises:
        ValueError: if a `_target_` anywhere in the node is not one of the trusted ones, or as the target itself does;
            Hydra's wrapping, which hides the message behind the target's name, is taken off.
    """
    for target in targets(node):
        trusted_class(target)
    try:
        return hydra_instantiate(node, *args, _convert_="all", _recursive_=False, **kwargs)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None


def check_trusted(target: str, place: str | None = None) -> tuple[str, ...]:
    """The beginnings of names that are trusted, of which a dotted name has one.

    place: the setting as a user types it, for the message

    Raises:
        ValueError: of one line, if it has none, which says how its package can be trusted.
    """
    names = trusted_packages()
    trusted = (*TRUSTED, *(f"{name}." for name in names))
    package = target.partition(".")[0]
    if not (target.startswith(trusted) or target in names):
        reason = f"only classes of {', '.join(trusted)} are built"
        if package == "__main__":
            reason = f"{target} was written in a notebook or a script; pmodel.open_run(…, model=…) takes its class"
        elif package not in {name.partition(".")[0] for name in TRUSTED} | sys.stdlib_module_names:
            reason = (
                f"the package {package} is not trusted; if you know its code, type trusted=[{package}], or add it to"
                " packages of [tool.pmodel] in ./pyproject.toml"
            )
        raise ValueError(f"{place or f'_target_={target}'}: {reason}")
    return trusted


def trusted_class(target: str, kind: type = object) -> type:
    """The class of a dotted name, if that is trusted.

    A dotted name can go through what a module has imported, to anything: pmodel.runs.opening.torch.load. So its first
    part has to be a module of that very name, and its last a class that was written in one of the packages.

    Args:
        kind: what it must be a subclass of.

    Raises:
        ValueError: of one line.
    """
    trusted = check_trusted(target)
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"_target_={target}: {error}") from None
    packages = {".".join(prefix.split(".")[:2]).rstrip(".") for prefix in trusted}
    if not (isinstance(found, type) and any(f"{found.__module__}.".startswith(f"{name}.") for name in packages)):
        raise ValueError(f"_target_={target}: only classes of {', '.join(trusted)} are built")
    if not issubclass(found, kind):
        raise ValueError(f"_target_={target}: expected a {kind.__name__}")
    return found


def targets(node: Any) -> list[str]:
    """Each `_target_` in nested dicts and lists."""
    if isinstance(node, dict):
        own = [str(node["_target_"])] if "_target_" in node else []
        return own + [t for child in node.values() for t in targets(child)]
    if isinstance(node, list | tuple):
        return [t for child in node for t in targets(child)]
    return []
