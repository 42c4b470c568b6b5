"""Builds models and data in Python, with the defaults that the command line has."""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

import torch
from lightning.pytorch import LightningModule

from pmodel.config.recipe import Recipe, plain
from pmodel.files.printable import first_line
from pmodel.instantiate import instantiate
from pmodel.training.gradient import GradientModule

# What a model of one's own takes, if its way of training is by a gradient; and of the data.
PARTS = {"model/optimizer": "adam", "model/schedule": "constant"}
OF_DATA = {"data_shape": "shape", "num_levels": "num_levels", "num_classes": "num_classes"}

# What each object was built of.
_recipes: WeakKeyDictionary[Any, tuple[Recipe, dict[str, Any]]] = WeakKeyDictionary()


def build(option: str | type, *overrides: str, data: Any = None, **settings: Any) -> Any:
    """A model with the defaults of conf/: `build("vae", data="digits", latent_dim=8)`; or a data module:
    `build("data=digits", limit=100)`.

    Initial weights are drawn by `seed`, as on the command line, and leave the caller's random state alone.

    Args:
        option: of the group model; or `data=…`, an option of the group data; or a class of your own, a subclass of
            `pmodel.training.gradient.GradientModule`.
        overrides: what else decides its defaults, as typed to train.py: "model/network=conv", "seed=2".
        data: the data that the model is for: an option's name, or what `pmodel.fit` takes. None: as on the command
            line.
        settings: values in place of its own; those of its parts by their dotted names, `**{"optimizer.lr": 0.01}`.

    Raises:
        ValueError: of one line, if there is no such option or setting, or a setting is out of its range.
    """
    if isinstance(option, type):
        return _build_class(option, overrides, data, settings)
    group, _, name = str(option).rpartition("=")
    group = group or "model"
    if group not in ("model", "data") or not name:
        raise ValueError(f"{option}: expected the name of a model, such as vae, or data=…")
    recipe = Recipe((f"{group}={name}", *overrides)).having(data, **_below(group, settings))
    node = recipe.node(group)
    with _drawn_by_seed(recipe):
        made = recipe.data(node) if group == "data" else instantiate(node)
    return _noted(made, recipe, node)


def recipe_of(built: Any) -> tuple[Recipe, dict[str, Any]] | None:
    """What `build` made an object of, and its resolved settings; None of any other object."""
    return _recipes.get(built)


def recipe_of_own(model: LightningModule) -> tuple[Recipe, dict[str, Any]]:
    """The same of a model that was built without `build`: the defaults of all else, and what the model saved.

    Raises:
        ValueError: of one line, if it did not save its arguments.
    """
    cls = type(model)
    if not model.hparams:
        raise ValueError(f"{cls.__name__}: expected self.save_hyperparameters() in its __init__, for runs to be opened")
    return _recipe_of_class(cls, ()), {"_target_": _path(cls), **plain(dict(model.hparams))}


def _build_class(cls: type, overrides: tuple[str, ...], data: Any, settings: dict[str, Any]) -> Any:
    if not issubclass(cls, GradientModule):
        raise ValueError(f"{cls.__name__}: expected a subclass of GradientModule; build others by calling their class")
    taken = {**signature(GradientModule).parameters, **signature(cls).parameters}
    of_data = {name: f"${{data.{key}}}" for name, key in OF_DATA.items() if name in taken}
    recipe = _recipe_of_class(cls, overrides).having(data, **_below("model", {**of_data, **settings}))
    node = recipe.node("model")
    given = {name: value for name, value in node.items() if name in taken or name in settings}
    with _drawn_by_seed(recipe):
        try:
            made = cls(**given)
        except TypeError as error:
            raise ValueError(f"{cls.__name__}: {first_line(error)}") from None
    return _noted(made, recipe, {"_target_": _path(cls), **given})


def _recipe_of_class(cls: type, overrides: tuple[str, ...]) -> Recipe:
    chosen = {key: word.partition("=")[2] for word in overrides if (key := str(word).partition("=")[0]) in PARTS}
    words = tuple(word for word in overrides if str(word).partition("=")[0] not in PARTS)
    parts = tuple(f"+{key}={name}" for key, name in {**PARTS, **chosen}.items())
    return Recipe(words, hidden=("model=shared/gradient", *parts), model_name=cls.__name__.lower())


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _below(group: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {f"{group}.{key}": value for key, value in settings.items()}


@contextmanager
def _drawn_by_seed(recipe: Recipe) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.composed().seed)
        yield


def _noted(made: Any, recipe: Recipe, node: dict[str, Any]) -> Any:
    _recipes[made] = recipe, node
    return made
