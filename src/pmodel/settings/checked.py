"""Holds what a constructor is given against its signature, as the command line's check does before it is called."""

import functools
import inspect
from typing import Any

from pmodel.settings.annotations import accepts, in_words
from pmodel.settings.signatures import TargetError, signature


def check_arguments(cls: type, place: str) -> None:
    """Has the constructor of a class refuse what its signature, and those that its `**common` stands for, don't allow.

    place: what the setting's name begins with where it is typed, such as `model`
    """
    if "__init__" not in vars(cls):
        return
    init = cls.__init__

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self).__init__ is checked:  # and not that of a base class, which gets a part of them
            given = inspect.signature(init).bind(self, *args, **kwargs).arguments
            check_given(type(self), place, {**given, **given.get("common", {})})
        init(self, *args, **kwargs)

    cls.__init__ = checked


def check_given(cls: type, place: str, given: dict[str, Any]) -> None:
    """Refuses values, by the names of arguments, that the constructor of a class does not take.

    Raises:
        ValueError: of one line, at the first one.
    """
    try:
        known = signature(f"{cls.__module__}.{cls.__qualname__}").parameters
    except TargetError:  # a class of a notebook or a function, whose source is in no file
        return
    for name, parameter in known.items():
        value = list(given[name]) if isinstance(given.get(name), tuple) else given.get(name)
        if name in given and not accepts(parameter.annotation, value, parameter.module):
            shown = str(value).lower() if isinstance(value, bool) else "null" if value is None else value
            raise ValueError(f"{place}.{name}={shown}: expected {in_words(parameter.annotation, parameter.module)}")
