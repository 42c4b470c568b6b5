"""What is typed: settings, and the jobs that a sweep makes of them."""

import re
import shlex
from collections.abc import Iterator

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from pmodel.config.search_space import dimension
from pmodel.config.tree import LONGEST, ConfigError
from pmodel.files.printable import setting


def parse_overrides(lines: list[str]) -> list[Override]:
    """Hydra's overrides.

    Raises:
        ConfigError: for a line that is none.
    """
    return [_parsed(line) for line in lines]


def _parsed(line: str) -> Override:
    try:
        (override,) = OverridesParser.create().parse_overrides([line])
    except (HydraException, ValueError):  # a number of more digits than Python reads, for example
        key, _, value = line.partition("=")
        if not re.fullmatch(r"[+~]{0,2}[\w./@:-]+=.+", line, re.DOTALL):
            raise ConfigError(f"{line or repr(line)}: expected key=value") from None
        quotes = "" if len(value) > LONGEST else f"; if it is one text, quote it: {in_quotes(key, value)}"
        raise ConfigError(f"{line}: this value can't be read{quotes}") from None
    if not override.key_or_group:
        raise ConfigError(f"{line}: expected key=value")
    return override


def in_quotes(key: str, value: str) -> str:
    """What to type in a shell for a value to be one text."""
    plain = not any(character in value for character in "'\"\\")
    return f"'{key}=\"{value}\"'" if plain else shlex.quote(setting(key, value))


def own_sweep(hydra: DictConfig | None, overrides: list[Override]) -> list[Override] | None:
    """What an experiment, or an option of the group `sweep`, sweeps by itself (`hydra.mode: MULTIRUN` and
    `hydra.sweeper.params` in its file), but for the settings that are typed, which Hydra prefers; None if it sweeps
    nothing."""
    if hydra is None or hydra.mode != RunMode.MULTIRUN:
        return None
    typed = {o.key_or_group for o in overrides}
    params = hydra.sweeper.get("params") or {}
    return parse_overrides([f"{key}={values}" for key, values in params.items() if key not in typed])


# What decides how jobs are chosen and started.
OF_JOBS = ("hydra.mode", "hydra.launcher", "hydra/launcher", "hydra.sweeper", "hydra/sweeper")


def hydras_own(config_name: str, overrides: list[Override]) -> DictConfig | None:
    """The config's node `hydra`, as far as experiments, sweeps and what is typed for jobs decide; None if none does."""
    chosen = [
        o.input_line
        for o in overrides
        if (o.key_or_group in ("experiment", "sweep") or o.key_or_group.startswith(OF_JOBS))
        and not o.is_sweep_override()
    ]
    if "sweep=wandb" in chosen:
        raise ConfigError("sweep=wandb: this file is for W&B's own command: wandb sweep conf/sweep/wandb.yaml")
    if not chosen:
        return None
    try:
        return compose(config_name, chosen, return_hydra_config=True).hydra
    except (HydraException, OmegaConfBaseException, MarkedYAMLError, ValueError, KeyError):
        return None  # what is wrong with it is said when the jobs are checked


def jobs_of(overrides: list[Override], multirun: bool, searches: bool = False) -> Iterator[list[Override]]:
    """The override lists to check: for a sweep each value once, beside the first values of all other sweeps; of a
    search's ranges, the ends only."""
    sweeps = [o for o in overrides if o.is_sweep_override()]
    if sweeps and not multirun:
        line = sweeps[0].input_line
        one = f"; if it is one text, quote it: {in_quotes(*line.split('=', 1))}" if "." in line.split("=")[0] else ""
        raise ConfigError(f"{line}: several values need --multirun (-m), which runs a job for each{one}")
    if searches:
        values = {o.key_or_group: dimension(o).probes() for o in sweeps}
    else:
        values = {o.key_or_group: list(o.sweep_string_iterator()) for o in sweeps if o.is_discrete_sweep()}
        if empty := [o for o in sweeps if values.get(o.key_or_group) == []]:
            raise ConfigError(f"{empty[0].input_line}: expected values to run one after the other, and there are none")
        for sweep in sweeps:
            if not sweep.is_discrete_sweep() and not any(o.key_or_group == "hydra/sweeper" for o in overrides):
                raise ConfigError(f"{sweep.input_line}: expected values to run one after the other, such as a,b,c")
    first = {key: options[0] for key, options in values.items()}
    variants = [first, *({**first, key: option} for key, options in values.items() for option in options[1:])]
    parser = OverridesParser.create()
    for variant in variants:
        lines = [
            o.input_line.split("=", 1)[0] + f"={variant[o.key_or_group]}" if o.is_sweep_override() else o.input_line
            for o in overrides
            if not o.is_sweep_override() or o.key_or_group in variant
        ]
        yield parser.parse_overrides(lines)
