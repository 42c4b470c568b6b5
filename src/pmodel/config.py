"""Checks a config before anything heavy is imported: one line, naming the key as typed, and exit code 2."""

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypedDict

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from pmodel.config_tree import INSTANTIATE_KEYS, Checker, ConfigError, Origins, show, suggest
from pmodel.resolvers import eval_dir, register_resolvers
from pmodel.saved import find_runs, quoted, read_config
from pmodel.signatures import resolve, signature, typed_fields

CONFIG_DIR = Path(__file__).parents[2] / "conf"


class Paths(TypedDict):
    """conf/paths/"""

    log_dir: str
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
    seed: int
    data_dir: str
    resume: str | None
    check: bool


class Devices(TypedDict):
    """`trainer` in conf/eval.yaml"""

    accelerator: str
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
    batch_size: int
    trainer: Devices
    metric: dict[str, dict | None]
    callbacks: dict[str, dict | None]
    paths: Paths


def checked_command_line(config_name: str, argv: list[str]) -> list[str]:
    """The command line for Hydra, checked; `resume=<run directory>` becomes that run's own config.

    Ends the process with one line on stderr and exit code 2 if the command line or a config file is wrong. Leaves
    `--help`, `--cfg`, `--info` and shell completion to Hydra.
    """
    register_resolvers()
    # Composing makes a great many objects and hardly any garbage; looking for it takes a sixth of the time.
    gc.disable()
    try:
        return _checked(config_name, argv)
    finally:
        gc.enable()


def _checked(config_name: str, argv: list[str]) -> list[str]:
    args, unknown = get_args_parser().parse_known_intermixed_args(argv)
    # Hydra wants options first.
    argv = [word for word in argv if word not in args.overrides] + args.overrides
    if args.help or args.hydra_help or args.cfg or args.info or args.shell_completion:
        return argv
    try:
        if unknown:
            raise ConfigError(f"{unknown[0]}: no such option{suggest(unknown[0], ['--help', '--multirun', '--cfg'])}")
        if args.config_dir and not Path(args.config_dir).is_dir():
            raise ConfigError(f"--config-dir {args.config_dir}: there is no such folder")
        if config_name == "eval":
            _check_runs(args.overrides, bool(args.multirun))
        elif not args.config_path:
            argv = _with_resumed_config(argv, args.overrides, bool(args.multirun))
            args = get_args_parser().parse_args(argv)
        own = Path(args.config_path).absolute() if args.config_path else CONFIG_DIR
        folders = [own, *([Path(args.config_dir).absolute()] if args.config_dir else [])]
        check_overrides(args.config_name or config_name, args.overrides, folders, multirun=bool(args.multirun))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    return argv


# What a resumed run may change: how long, where and how it is shown, not what is trained on what.
RESUMABLE = (
    *("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.accelerator", "trainer.devices"),
    *("trainer.num_nodes", "trainer.strategy", "trainer.profiler", "trainer.log_every_n_steps"),
    *("callbacks.", "logger.", "hydra.", "hydra/", "data_dir", "data.data_dir", "data.path", "data.eval_batch_size"),
)


def _with_resumed_config(argv: list[str], overrides: list[str], multirun: bool) -> list[str]:
    """Points Hydra at the run directory that `resume=` names, if it does: nothing is composed anew."""
    parsed = parse_overrides(overrides)
    resume = [o for o in parsed if o.key_or_group == "resume"]
    if not resume or resume[-1].value() is None:
        return argv
    typed, run = resume[-1].input_line, Path(str(resume[-1].value()))
    if multirun:
        raise ConfigError(f"{typed}: goes on with one run; leave out --multirun")
    for file in ("config.yaml", "checkpoints/last.ckpt"):
        if str(run) == "." or not (run / file).is_file():
            raise ConfigError(f"{typed}: expected a run directory, but there is no {run / file}")
    for override in parsed:
        if override not in resume and not override.key_or_group.startswith(RESUMABLE):
            raise ConfigError(
                f"{override.input_line}: a resumed run keeps its settings; it can change trainer.max_epochs,"
                " .max_steps, .max_time, .accelerator, .devices, callbacks.… and logger.…, and where the data lie"
            )
    own = {"hydra.run.dir": run, "paths.run_dir": run.absolute(), "resume": run}
    settings = [f"{key}={quoted(str(value))}" for key, value in own.items()]
    settings += ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]
    options = [word for word in argv if word not in overrides]
    rest = [o.input_line for o in parsed if o not in resume]
    return ["--config-path", str(run.absolute()), "--config-name", "config", *options, *settings, *rest]


def _check_runs(overrides: list[str], multirun: bool) -> None:
    """Looks for the runs that are to be judged, before anything heavy is imported."""
    typed = [o for o in parse_overrides(overrides) if o.key_or_group == "run"]
    if not typed:
        raise ConfigError("run must be set: type run=… (a run directory, a checkpoint, or the directory of a multirun)")
    if multirun or typed[-1].is_sweep_override():
        raise ConfigError(f"{typed[-1].input_line}: takes several runs at once, as 'run=[a,b]'; leave out --multirun")
    value = typed[-1].value()
    if not isinstance(value, str | list) or not value:
        raise ConfigError(f"{typed[-1].input_line}: expected a run directory or a checkpoint, or a list of these")
    paths = value if isinstance(value, list) else [value]
    try:
        found, _ = find_runs(paths)
        for run in found:
            read_config(run.folder, f"run={run.folder}")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if len(paths) == 1 and not any(o.key_or_group == "hydra.run.dir" for o in parse_overrides(overrides)):
        _check_writable(Path(eval_dir(paths, "")), typed[-1].input_line)


def _check_writable(folder: Path, place: str) -> None:
    """Refuses a place that Hydra could not make its directory in."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ConfigError(f"{place}: {there} can't be written; hydra.run.dir=… writes elsewhere")


def parse_overrides(lines: list[str]) -> list[Override]:
    """Hydra's overrides.

    Raises:
        ConfigError: for a line that is none.
    """
    try:
        return OverridesParser.create().parse_overrides(lines)
    except HydraException as error:
        raise ConfigError(f"{_first_line(error)} (expected key=value)") from None


def check_overrides(
    config_name: str, overrides: list[str], folders: Sequence[Path] = (CONFIG_DIR,), multirun: bool = False
) -> None:
    """Composes what the overrides ask for and checks every key and value of it.

    Args:
        folders: where YAML files lie: the project's conf/ and, after it, those that the user adds by `--config-dir`.

    Raises:
        ConfigError: at the first thing wrong.
    """
    parsed = parse_overrides(overrides)
    with initialize_config_dir(str(folders[0]), version_base="1.3"), _one_line_errors():
        own_sweep = experiments_sweep(config_name, parsed)
        for job in _jobs([*parsed, *(own_sweep or [])], multirun or own_sweep is not None):
            _Job(config_name, job, list(folders)).check()


def experiments_sweep(config_name: str, overrides: list[Override]) -> list[Override] | None:
    """What an experiment sweeps by itself (`hydra.mode: MULTIRUN` and `hydra.sweeper.params` in its file), but for the
    settings that are typed, which Hydra prefers; None if it sweeps nothing."""
    chosen = [o.input_line for o in overrides if o.key_or_group == "experiment" and not o.is_sweep_override()]
    if not chosen:
        return None
    try:
        hydra = compose(config_name, chosen, return_hydra_config=True).hydra
        params = hydra.sweeper.get("params") or {}
    except (HydraException, OmegaConfBaseException, MarkedYAMLError, ValueError, KeyError):
        return None  # what is wrong with it is said when the jobs are checked
    typed = {o.key_or_group for o in overrides}
    lines = [f"{key}={values}" for key, values in params.items() if key not in typed]
    return parse_overrides(lines) if hydra.mode == RunMode.MULTIRUN else None


def _jobs(overrides: list[Override], multirun: bool) -> Iterator[list[Override]]:
    """The override lists to check: for a sweep each value once, beside the first values of all other sweeps."""
    sweeps = [o for o in overrides if o.is_sweep_override()]
    if sweeps and not multirun:
        raise ConfigError(f"{sweeps[0].input_line}: several values need --multirun (-m), which runs a job for each")
    for sweep in sweeps:
        if not sweep.is_discrete_sweep() and not any(o.key_or_group == "hydra/sweeper" for o in overrides):
            raise ConfigError(f"{sweep.input_line}: expected values to run one after the other, such as a,b,c")
    values = {o.key_or_group: list(o.sweep_string_iterator()) for o in sweeps if o.is_discrete_sweep()}
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


# Groups whose options can't be combined.
ONE_OPTION = {"model", "data", "trainer", "paths"}

ROOTS: dict[str, type] = {"train": TrainConfig, "config": TrainConfig, "eval": EvalConfig}


class _Job:
    """One composition: the config's name, the overrides of one job, and the folders with YAML files."""

    def __init__(self, config_name: str, overrides: list[Override], folders: list[Path]):
        self.config_name, self.folders = config_name, folders
        self.loader = GlobalHydra.instance().config_loader()
        self.search_path = (
            [f"hydra.searchpath=[{', '.join(f'file://{f}' for f in folders[1:])}]"] if folders[1:] else []
        )
        self.values = [o for o in overrides if not self.options(o.key_or_group)]
        self.groups = [o for o in overrides if o not in self.values]

    def options(self, group: str) -> list[str]:
        return self.loader.get_group_options(group, config_name=self.config_name, overrides=self.search_path)

    def compose(self, overrides: list[Override]) -> DictConfig:
        """The config without Hydra's own part; the output directory, known only later, is a placeholder."""
        from hydra.core.hydra_config import HydraConfig

        placeholder = ["++hydra.runtime.output_dir=logs", "++hydra.job.num=0", *self.search_path]
        config = compose(self.config_name, [*(o.input_line for o in overrides), *placeholder], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        return config

    def check(self) -> None:
        for override in self.groups:
            self.check_group_choice(override)
        plain = self.compose(self.groups)
        for override in self.values:
            if not override.is_add() and not override.is_force_add():
                self.check_key_exists(plain, override)
        config = self.compose([*self.groups, *self.values]) if self.values else plain
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
            for key in sorted(OmegaConf.missing_keys(config)):
                where = origins.file(key) or self.config_name
                raise ConfigError(f"{key} must be set: type {key}=… ({where} leaves it open)")

    def defaults_list(self) -> list:
        lines = [*(o.input_line for o in [*self.groups, *self.values]), *self.search_path]
        return self.loader.compute_defaults_list(self.config_name, lines, RunMode.RUN).defaults

    def check_group_choice(self, override: Override) -> None:
        group, options = override.key_or_group, self.options(override.key_or_group)
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

    def check_key_exists(self, config: DictConfig, override: Override) -> None:
        node: Any = config
        parts = override.key_or_group.replace("/", ".").split(".")
        if parts[0] == "hydra":
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
            raise ConfigError(f"{override.input_line}: {where}{suggest(part, [*names, *arguments], here)}")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turns what Hydra and OmegaConf raise while composing into a ConfigError of one line."""
    try:
        yield
    except HydraException as error:
        message = _first_line(error)
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
    except ConfigError:
        raise
    except (ValueError, KeyError) as error:  # Hydra's own, such as a group that a file sets to null
        raise ConfigError(f"the defaults list can't be composed: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
