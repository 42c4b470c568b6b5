"""Checks what a command line composes, key by key, before anything heavy is imported."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from pmodel.config_tree import (
    INSTANTIATE_KEYS,
    LONGEST,
    Checker,
    ConfigError,
    Origins,
    show,
    suggest,
    suggest_setting,
    unset,
)
from pmodel.early_checks import (
    check_launcher,
    check_loggers,
    check_names,
    check_places,
    check_schedules,
    check_subdir,
    check_trainer,
)
from pmodel.foreign import setting
from pmodel.ranges import Count, Seed
from pmodel.search.settings import check_search
from pmodel.search.space import dimension
from pmodel.signatures import resolve, signature, typed_fields

CONFIG_DIR = Path(__file__).parents[2] / "conf"


class Paths(TypedDict):
    """conf/paths/"""

    log_dir: str
    kind: NotRequired[str]
    run_dir: str


class TrainConfig(TypedDict):
    """The top-level keys of conf/train.yaml; groups whose members are instantiated are checked by their `_target_`."""

    model: dict
    data: dict
    trainer: dict
    logger: dict[str, dict | None]
    callbacks: dict[str, dict | None]
    paths: Paths
    name: str
    seed: Seed
    threads: NotRequired[Literal["auto"] | Count]
    data_dir: str
    resume: str | None
    check: bool


class Devices(TypedDict):
    """`trainer` in conf/eval.yaml"""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: int | str | list[int]


class Place(TypedDict):
    """`data` in conf/eval.yaml"""

    path: str | None


class EvalConfig(TypedDict):
    """The top-level keys of conf/eval.yaml."""

    run: str | list[str]
    split: Literal["train", "validation", "test"]
    data_dir: str | None
    data: Place
    cache_dir: str | None
    batch_size: Count
    trainer: Devices
    metric: dict[str, dict | None]
    callbacks: dict[str, dict | None]
    paths: Paths


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


def check_overrides(
    config_name: str, overrides: list[str], folders: Sequence[Path] = (CONFIG_DIR,), multirun: bool = False
) -> str:
    """Composes what the overrides ask for and checks every key and value of it.

    Args:
        folders: where YAML files lie: the project's conf/ and, after it, those that the user adds by `--config-dir`.

    Returns:
        What it is, for a first line: `vae on digits`.

    Raises:
        ConfigError: at the first thing wrong.
    """
    parsed = parse_overrides(overrides)
    with initialize_config_dir(str(folders[0]), version_base="1.3"), _one_line_errors(folders):
        hydra = _hydras_own(config_name, parsed)
        own_sweep = _own_sweep(hydra, parsed)
        everything = [*parsed, *(own_sweep or [])]
        check_launcher(hydra, parsed, multirun or own_sweep is not None)
        searches = hydra is not None and check_search(hydra.sweeper, everything)
        check_subdir(everything)
        jobs = _jobs(everything, multirun or own_sweep is not None, searches)
        names = [_Job(config_name, job, list(folders)).check() for job in jobs]
    return ", ".join(dict.fromkeys(names))


def experiments_sweep(config_name: str, overrides: list[Override]) -> list[Override] | None:
    """What an experiment, or an option of the group `sweep`, sweeps by itself (`hydra.mode: MULTIRUN` and
    `hydra.sweeper.params` in its file), but for the settings that are typed, which Hydra prefers; None if it sweeps
    nothing."""
    return _own_sweep(_hydras_own(config_name, overrides), overrides)


def _own_sweep(hydra: DictConfig | None, overrides: list[Override]) -> list[Override] | None:
    if hydra is None or hydra.mode != RunMode.MULTIRUN:
        return None
    typed = {o.key_or_group for o in overrides}
    params = hydra.sweeper.get("params") or {}
    return parse_overrides([f"{key}={values}" for key, values in params.items() if key not in typed])


# What decides how jobs are chosen and started.
OF_JOBS = ("hydra.mode", "hydra.launcher", "hydra/launcher", "hydra.sweeper", "hydra/sweeper")


def _hydras_own(config_name: str, overrides: list[Override]) -> DictConfig | None:
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


def _jobs(overrides: list[Override], multirun: bool, searches: bool = False) -> Iterator[list[Override]]:
    """The override lists to check: for a sweep each value once, beside the first values of all other sweeps; for a
    search the ends of a range only."""
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
    if searches:  # many values: the i-th of each beside one another
        most = max(len(options) for options in values.values())
        variants = [{key: options[min(i, len(options) - 1)] for key, options in values.items()} for i in range(most)]
    else:
        variants = [first, *({**first, key: option} for key, options in values.items() for option in options[1:])]
    parser = OverridesParser.create()
    for variant in variants:
        lines = [
            o.input_line.split("=", 1)[0] + f"={variant[o.key_or_group]}" if o.is_sweep_override() else o.input_line
            for o in overrides
            if not o.is_sweep_override() or o.key_or_group in variant
        ]
        yield parser.parse_overrides(lines)


# Groups whose options can't be combined.
ONE_OPTION = {"model", "data", "trainer", "paths"}

# What was typed in earlier versions, and what is typed now.
RENAMED = {"data=points_csv": "data=table", "data.name=csv": "data=table"}

ROOTS: dict[str, type] = {"train": TrainConfig, "config": TrainConfig, "eval": EvalConfig}


class _Job:
    """One composition: the config's name, the overrides of one job, and the folders with YAML files."""

    def __init__(self, config_name: str, overrides: list[Override], folders: list[Path]):
        self.config_name, self.folders = config_name, folders
        self.loader = GlobalHydra.instance().config_loader()
        self.search_path = (
            [f"hydra.searchpath=[{', '.join(f'file://{f}' for f in folders[1:])}]"] if folders[1:] else []
        )
        # Hydra looks at all folders anew for each; a group's name has no dots.
        self.options = {
            name: self.loader.get_group_options(name, config_name=config_name, overrides=self.search_path)
            for name in {o.key_or_group for o in overrides}
            if "." not in name
        }
        self.groups = [o for o in overrides if self.options.get(o.key_or_group)]
        self.values = [o for o in overrides if o not in self.groups]

    def compose(self, overrides: list[Override]) -> DictConfig:
        """The config without Hydra's own part; the output directory, known only later, is a placeholder."""
        from hydra.core.hydra_config import HydraConfig

        placeholder = ["++hydra.runtime.output_dir=logs", "++hydra.job.num=0", *self.search_path]
        config = compose(self.config_name, [*(o.input_line for o in overrides), *placeholder], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        OmegaConf.set_struct(config, False)
        # Resolved while what it refers to is there.
        self.launcher = OmegaConf.to_container(config.hydra.launcher, resolve=True)
        self.hydra = config.hydra
        del config["hydra"]
        return config

    def compose_named(self) -> DictConfig:
        """The config with all overrides; where Hydra refuses one, the error says which setting it does not know."""
        try:
            return self.compose([*self.groups, *self.values])
        except (HydraException, OmegaConfBaseException, ValueError, KeyError):
            if self.values:
                plain = self.compose(self.groups)
                for override in self.values:
                    if not override.is_add() and not override.is_force_add():
                        self.check_key_exists(plain, override)
            raise

    def check(self) -> str:
        """Checks all of it, and gives a name to it."""
        for override in (*self.groups, *self.values):
            new = RENAMED.get(f"{override.key_or_group}={override.value()}")
            if new is not None:
                raise ConfigError(f"{override.input_line}: expected a name of this version; it is called {new} now")
        for override in self.groups:
            self.check_group_choice(override)
        config = self.compose_named()
        for override in self.values:
            self.check_deletion(override)
        if config.get("resume") is not None and not any(o.key_or_group == "resume" for o in self.values):
            raise ConfigError(f"resume={config.resume}: type it on the command line; a file can't ask for it")
        origins = Origins({o.key_or_group: o.input_line for o in self.values}, self.folders, self.defaults_list)
        # Names first: a misspelt key also breaks what refers to it, and is the better thing to say.
        for resolved in (False, True):
            values = OmegaConf.to_container(config, resolve=resolved, throw_on_missing=False)
            checker = Checker(origins, types=resolved)
            if self.config_name in ROOTS:
                top = typed_fields(*resolve(__name__, ROOTS[self.config_name].__name__))
                checker.fields(top, values, "")
                checker.required(top, values, "")
            checker.tree(values, "")
            for key in [] if resolved else sorted(unset(values)):
                where = origins.file(key) or self.config_name
                raise ConfigError(f"{key} must be set: type {key}=… ({where} leaves it open)")
            if resolved and "trainer" in values:
                check_names(values)
                check_places(values, {o.key_or_group: o for o in self.values})
                check_trainer(values["trainer"], origins.name)
                check_schedules(values)
                check_loggers(values.get("logger") or {})
        Checker(origins, types=True).target(self.launcher, "hydra.launcher")
        chosen = self.hydra.runtime.choices
        return (
            f"{chosen['model']} on {chosen['data']}" if "model" in chosen else str(values.get("name") or values["run"])
        )

    def defaults_list(self) -> list:
        lines = [*(o.input_line for o in [*self.groups, *self.values]), *self.search_path]
        return self.loader.compute_defaults_list(self.config_name, lines, RunMode.RUN).defaults

    def check_group_choice(self, override: Override) -> None:
        group, options = override.key_or_group, self.options[override.key_or_group]
        if override.is_delete():
            return
        listed = f"(options: {', '.join(options)})"
        if override.value() is None:
            raise ConfigError(f"{override.input_line}: expected an option of {group}; leave it out for none {listed}")
        if isinstance(override.value(), list) and (group in ONE_OPTION or group.startswith("model/")):
            raise ConfigError(f"{override.input_line}: {group} takes one option at a time {listed}")
        for choice in override.value() if isinstance(override.value(), list) else [override.value()]:
            if str(choice) not in options:
                raise ConfigError(
                    f"{override.input_line}: {group} has no option {choice!r}{suggest(str(choice), options)} {listed}"
                )

    def is_group(self, name: str) -> bool:
        return bool(self.loader.get_group_options(name))

    def check_deletion(self, override: Override) -> None:
        """Refuses to leave out a single value, which would be one that stands in no file; parts such as a callback may
        be left out."""
        if not override.is_delete():
            return
        key = override.key_or_group
        plain = self.compose([*self.groups, *(o for o in self.values if not o.is_delete())])
        value = OmegaConf.select(plain, key, throw_on_missing=False, default=None)
        if not key.startswith("hydra") and not isinstance(value, DictConfig):
            raise ConfigError(f"{override.input_line}: a setting can't be left out; type {key}=… with another value")
        if key in ("model", "data", "trainer", "paths"):
            raise ConfigError(f"{override.input_line}: a run needs a {key}; type {key}=… with another one")

    def check_hydras_key(self, parts: list[str], override: Override) -> None:
        node: Any = self.hydra
        for depth, part in enumerate(parts[1:], 1):
            if not isinstance(node, DictConfig) or part not in list(node):
                names = list(node) if isinstance(node, DictConfig) else []
                here = ".".join(parts[:depth])
                raise ConfigError(f"{override.input_line}: {here} has no {part!r}{suggest(part, names, here)}")
            node = node._get_node(part)

    def check_key_exists(self, config: DictConfig, override: Override) -> None:
        node: Any = config
        parts = override.key_or_group.replace("/", ".").split(".")
        if parts[0] == "hydra":
            if len(parts) == 3 and parts[1] in ("launcher", "sweeper") and parts[2] not in list(self.hydra[parts[1]]):
                where, names = f"hydra.{parts[1]}", [k for k in self.hydra[parts[1]] if k not in INSTANTIATE_KEYS]
                hint = suggest(parts[2], names, where)
                raise ConfigError(f"{override.input_line}: {where} has no {parts[2]!r}{hint}")
            self.check_hydras_key(parts, override)
            return
        for depth, part in enumerate(parts):
            here = ".".join(parts[:depth])
            if isinstance(node, DictConfig) and part in list(node.keys()):  # `in` alone overlooks ???
                if depth == len(parts) - 1:
                    return  # not looked at: it may be `required`
                node = None if OmegaConf.is_missing(node, part) else node[part]
                continue
            if not isinstance(node, DictConfig):
                raise ConfigError(f"{override.input_line}: {here} is {show(node)} and has no settings of its own")
            arguments = list(signature(node._target_).parameters) if "_target_" in node else []
            if part in arguments and depth == len(parts) - 1:
                raise ConfigError(f"{override.input_line}: {here} has no value for it yet; put a + in front to add it")
            names = [k for k in node if k not in INSTANTIATE_KEYS] + ([] if here else self.loader.list_groups(""))
            where = f"{here} has no {part!r}" if here else f"there is no setting {part!r}"
            hint = suggest_setting(part, config, here, self.is_group) or suggest(part, [*names, *arguments], here)
            raise ConfigError(f"{override.input_line}: {where}{hint}")


# What Hydra says of an override that is of the wrong type.
MERGING = "Error merging override "


@contextmanager
def _one_line_errors(folders: Sequence[Path]) -> Iterator[None]:
    """Turns what Hydra and OmegaConf raise while composing files of some folders into a ConfigError of one line."""
    try:
        yield
    except HydraException as error:
        message = _first_line(error)
        if message.startswith(MERGING):
            reason = _first_line(error.__cause__ or error).removeprefix(MERGING)
            raise ConfigError(f"{message.removeprefix(MERGING)}: {reason}") from None
        missing, options = getattr(error, "missing_cfg_file", None), getattr(error, "options", None)
        if missing and options:
            message += suggest(str(missing).rsplit("/", 1)[-1], list(options)) + f" (options: {', '.join(options)})"
        raise ConfigError(message) from None
    except OmegaConfBaseException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ConfigError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from None
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{key}: {_first_line(error)}" if key else _first_line(error)) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        raise ConfigError(f"{mark.name}, line {mark.line + 1}: no YAML, {error.problem}") from None
    except ReaderError as error:
        raise ConfigError(f"{error.name}: no YAML, {error.reason} at character {error.position}") from None
    except UnicodeDecodeError as error:
        files = [file for folder in folders for file in folder.rglob("*.yaml") if error.object in file.read_bytes()]
        name = files[0] if files else "a YAML file"
        raise ConfigError(f"{name}: no text in UTF-8, {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise ConfigError(
            "the defaults list can't be composed: a file in it names itself, or is nested too deep"
        ) from None
    except ConfigError:
        raise
    except (ValueError, KeyError) as error:  # Hydra's own, such as a group that a file sets to null
        raise ConfigError(f"the defaults list can't be composed: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
