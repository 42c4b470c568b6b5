"""A search space in Hydra's words: `choice(…)`, `range(…)`, `interval(…)`, and `tag(log, …)` of a range or interval."""

from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from pmodel.config.tree import ConfigError


@dataclass(frozen=True)
class Choice:
    """One of these values, as texts that Hydra reads."""

    values: tuple[str, ...]

    def probes(self) -> list[str]:
        """The values to check before a search begins: all of them."""
        return list(self.values)


@dataclass(frozen=True)
class Numbers:
    """A number from `low` to `high`, both included: whole if these are, in steps if there is a `step`."""

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def probes(self) -> list[str]:
        """The values to check before a search begins: both ends."""
        return [str(self.low), str(self.high)]


Dimension = Choice | Numbers


def dimension(override: Override) -> Dimension:
    """What a sweep on the command line, or under `hydra.sweeper.params`, asks to search.

    Raises:
        ConfigError: for an empty or impossible one.
    """
    typed, sweep = override.input_line, override.value()
    tags = set(getattr(sweep, "tags", ()))
    if tags - {"log"}:
        raise ConfigError(f"{typed}: the tag that a search knows is log, got {', '.join(sorted(tags - {'log'}))}")
    log = "log" in tags
    match sweep:
        case IntervalSweep(start=low, end=high):
            found = Numbers(low, high, log=log)
        case RangeSweep(step=step):
            values = list(override.sweep_iterator()) if step > 0 else []
            if not values:
                raise ConfigError(f"{typed}: expected range(first,end) or range(first,end,step) with a value in it")
            found = Numbers(values[0], values[-1], step, log)
            if log and not (found.whole and step == 1):
                raise ConfigError(f"{typed}: a logarithmic range has whole numbers and no step; interval(…) has none")
        case _:
            if log:
                raise ConfigError(f"{typed}: a choice has no order, and so no tag log")
            return Choice(tuple(dict.fromkeys(override.sweep_string_iterator())))
    if found.low > found.high or (isinstance(sweep, IntervalSweep) and found.low == found.high):
        raise ConfigError(f"{typed}: expected the lower end first")
    if log and found.low <= 0:
        raise ConfigError(f"{typed}: a logarithmic space begins above 0")
    return found


def search_space(overrides: list[Override]) -> dict[str, Dimension]:
    """The dimensions among the overrides, by their keys; a later one of a key replaces an earlier one."""
    last = {override.get_key_element(): override for override in overrides}
    return {key: dimension(override) for key, override in last.items() if override.is_sweep_override()}


def fixed_settings(overrides: list[Override]) -> dict[str, str]:
    """The other overrides, which all trials share, by their keys."""
    last = {override.get_key_element(): override for override in overrides}
    return {
        key: override.get_value_element_as_str() for key, override in last.items() if not override.is_sweep_override()
    }


def written(dimension: Dimension, value: Any) -> str:
    """A value of a dimension as one types it."""
    return value if isinstance(dimension, Choice) else repr(int(value) if dimension.whole else float(value))
