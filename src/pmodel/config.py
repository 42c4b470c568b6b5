"""Checks a config before anything heavy is imported: one line, naming the key as typed, and exit code 2."""

import difflib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypedDict

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pmodel.signatures import Parameter, TargetError, accepts, choices, resolve, signature, typed_fields

CONFIG_DIR = Path(__file__).parents[2] / "conf"
INSTANTIATE_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


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


class ConfigError(ValueError):
    """A config that can't be run; the message is one line."""


def register_resolvers() -> None:
    """Registers what the files in conf/ compute: `${num_levels:…}` and `${likelihood:…}`. Safe to call again."""
    OmegaConf.register_new_resolver("num_levels", num_levels, replace=True)
    OmegaConf.register_new_resolver("likelihood", default_likelihood, replace=True)


def num_levels(binarize: str, dequantize: bool, source_levels: int) -> int | None:
    """How many values a sub-pixel can take once the data module is done with it; None if it is continuous."""
    if binarize != "none":
        return 2
    return None if dequantize else source_levels


def default_likelihood(levels: int | None) -> Literal["bernoulli", "discretized_logistic", "gaussian"]:
    """The likelihood that fits data of so many levels: a density for continuous data, else exact probabilities.

    For more than two levels the discretized logistic, which knows that neighbouring levels are alike: on the digits'
    17 levels its ELBO is 6 nats above that of a categorical distribution.
    """
    if levels is None:
        return "gaussian"
    return "bernoulli" if levels == 2 else "discretized_logistic"


def checked_command_line(config_name: str, argv: list[str]) -> list[str]:
    """The command line for Hydra, checked; `resume=<run directory>` becomes that run's own config.

    Ends the process with one line on stderr and exit code 2 if the command line or a config file is wrong. Leaves
    `--help`, `--cfg`, `--info` and shell completion to Hydra.
    """
    register_resolvers()
    args, unknown = get_args_parser().parse_known_args(argv)
    if args.help or args.hydra_help or args.cfg or args.info or args.shell_completion:
        return argv
    try:
        if unknown:
            raise ConfigError(f"{unknown[0]}: no such option{_suggest(unknown[0], ['--help', '--multirun', '--cfg'])}")
        if not args.config_path:
            argv = _with_resumed_config(argv, args.overrides, bool(args.multirun))
            args = get_args_parser().parse_args(argv)
        config_dir = Path(args.config_path).absolute() if args.config_path else CONFIG_DIR
        check_overrides(args.config_name or config_name, args.overrides, config_dir, multirun=bool(args.multirun))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    return argv


def _with_resumed_config(argv: list[str], overrides: list[str], multirun: bool) -> list[str]:
    """Points Hydra at the run directory that `resume=` names, if it does: nothing is composed anew."""
    typed = next((o.split("=", 1)[1].strip("'\"") for o in overrides if o.startswith("resume=")), "null")
    if typed in ("null", ""):
        return argv
    run = Path(typed)
    if multirun:
        raise ConfigError(f"resume={typed}: goes on with one run; leave out --multirun")
    for file in ("config.yaml", "checkpoints/last.ckpt"):
        if not (run / file).is_file():
            raise ConfigError(f"resume={typed}: expected a run directory, but there is no {run / file}")
    own = {"hydra.run.dir": run, "paths.run_dir": run.absolute()}
    settings = [f"{key}='{value}'" for key, value in own.items()]
    settings += ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]
    return ["--config-path", str(run.absolute()), "--config-name", "config", *settings, *argv]


def check_overrides(config_name: str, overrides: list[str], config_dir: Path = CONFIG_DIR, multirun=False) -> None:
    """Composes what the overrides ask for and checks every key and value of it.

    Raises:
        ConfigError: at the first thing wrong.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(f"{_first_line(error)} (expected key=value)") from None
    with initialize_config_dir(str(config_dir), version_base="1.3"), _one_line_errors():
        loader = GlobalHydra.instance().config_loader()
        for job in _jobs(parsed, multirun):
            _check_job(loader, config_name, job, config_dir)


def _jobs(overrides: list[Override], multirun: bool) -> Iterator[list[Override]]:
    """The override lists to check: for a sweep each value once, beside the first values of all other sweeps."""
    sweeps = [o for o in overrides if o.is_sweep_override()]
    if sweeps and not multirun:
        raise ConfigError(f"{sweeps[0].input_line}: several values need --multirun (-m), which runs a job for each")
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


def _check_job(loader: ConfigLoader, config_name: str, overrides: list[Override], config_dir: Path) -> None:
    groups = [o for o in overrides if loader.get_group_options(o.key_or_group)]
    for override in groups:
        _check_group_choice(loader, override)
    group_lines = [o.input_line for o in groups]
    plain = _compose(config_name, group_lines)
    for override in overrides:
        if override not in groups and not override.is_add() and not override.is_force_add():
            _check_key_exists(loader, plain, override)
    lines = [o.input_line for o in overrides]
    config = _compose(config_name, lines) if len(lines) > len(groups) else plain
    typed = {o.key_or_group: o.input_line for o in overrides if o not in groups}
    origin = _Origins(loader, config_name, lines, typed, config_dir)
    # Names first: a misspelt key also breaks what refers to it, and is the better thing to say.
    for resolved in (False, True):
        values = OmegaConf.to_container(config, resolve=resolved, throw_on_missing=False)
        check = _Checker(origin, types=resolved)
        if config_name in ROOTS:
            check.fields(typed_fields(*resolve(__name__, ROOTS[config_name].__name__)), values, "")
        check.tree(values, "")
        for key in sorted(OmegaConf.missing_keys(config)):
            raise ConfigError(f"{key} must be set: type {key}=… ({origin.file(key) or config_name} leaves it open)")


ROOTS: dict[str, type] = {"train": TrainConfig, "config": TrainConfig}


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    """The config without Hydra's own part; the output directory, known only later, is a placeholder."""
    from hydra.core.hydra_config import HydraConfig

    placeholder = [*overrides, "++hydra.runtime.output_dir=logs", "++hydra.job.num=0"]
    config = compose(config_name, placeholder, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config


def _check_group_choice(loader: ConfigLoader, override: Override) -> None:
    group = override.key_or_group
    options = loader.get_group_options(group)
    for choice in override.value() if isinstance(override.value(), list) else [override.value()]:
        if choice is not None and str(choice) not in options and not override.is_delete():
            raise ConfigError(
                f"{override.input_line}: {group} has no option {choice!r}{_suggest(str(choice), options)}"
                f" (options: {', '.join(options)})"
            )


def _check_key_exists(loader: ConfigLoader, config: DictConfig, override: Override) -> None:
    node: Any = config
    parts = override.key_or_group.replace("/", ".").split(".")
    if parts[0] == "hydra":
        return
    for depth, part in enumerate(parts):
        here = ".".join(parts[:depth])
        if isinstance(node, DictConfig) and part in list(node.keys()):  # `in` alone overlooks ???
            node = None if OmegaConf.is_missing(node, part) else node[part]
            continue
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{override.input_line}: {here} is {_show(node)} and has no settings of its own")
        if "_target_" in node and part in signature(node._target_).parameters and depth == len(parts) - 1:
            raise ConfigError(
                f"{override.input_line}: {here} has no value for it yet; put a + in front of it to add it"
            )
        names = [k for k in node if k not in INSTANTIATE_KEYS] + ([] if here else loader.list_groups(""))
        if "_target_" in node:
            names += [p for p in signature(node._target_).parameters if p not in names]
        where = f"{here} has no {part!r}" if here else f"there is no setting {part!r}"
        raise ConfigError(f"{override.input_line}: {where}{_suggest(part, names, here)}")


class _Origins:
    """Says where a setting of the composed config was written: as typed, or in which YAML file."""

    def __init__(self, loader: ConfigLoader, config_name: str, lines: list[str], typed: dict[str, str], folder: Path):
        self.typed, self.folder = typed, folder
        self._defaults = lambda: loader.compute_defaults_list(config_name, lines, RunMode.RUN).defaults

    def file(self, key: str) -> str | None:
        """The last file of the defaults list that holds the key, relative to the project; None if none does."""
        for default in reversed(self._defaults()):
            path = self.folder / f"{default.config_path}.yaml"
            if not path.is_file():
                continue
            prefix = default.package or ""
            if prefix and not (key == prefix or key.startswith(prefix + ".")):
                continue
            content = OmegaConf.load(path)
            inner = key[len(prefix) :].lstrip(".")
            if inner and _has(content, inner.split(".")):
                return f"{self.folder.name}/{default.config_path}.yaml"
        return None

    def name(self, key: str, value: Any) -> str:
        """`key=value` as it was typed, or `key: value in conf/…yaml`."""
        for typed_key, line in self.typed.items():
            if key == typed_key or key.startswith(typed_key + "."):
                return line
        file = self.file(key)
        return f"{key}={_show(value)}" + (f" in {file}" if file else "")


def _has(node: Any, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(node, DictConfig) or part not in node:
            return False
        node = node._get_node(part)
    return True


class _Checker:
    """Walks a composed, resolved config; each `_target_` is held against the signature of what it names."""

    def __init__(self, origin: _Origins, types: bool):
        self.origin, self.types = origin, types

    def tree(self, node: Any, path: str) -> None:
        if isinstance(node, dict):
            if "_target_" in node:
                self.target(node, path)
            for key, child in node.items():
                self.tree(child, f"{path}.{key}".lstrip("."))
        elif isinstance(node, list):
            for child in node:
                self.tree(child, path)

    def target(self, node: dict, path: str) -> None:
        try:
            known = signature(str(node["_target_"]))
        except TargetError as error:
            key = f"{path}._target_"
            raise ConfigError(
                f"{self.origin.name(key, node['_target_'])}: {error}{_suggest(error.name, error.candidates)}"
            ) from None
        given = {key: value for key, value in node.items() if key not in INSTANTIATE_KEYS}
        self.fields(known.parameters, given, path, accepts_any=known.accepts_any)

    def fields(self, known: dict[str, Parameter], given: dict, path: str, accepts_any: bool = False) -> None:
        for key, value in given.items():
            full = f"{path}.{key}".lstrip(".")
            if key not in known:
                if accepts_any:
                    continue
                where = f"{path} has no {key!r}" if path else f"there is no setting {key!r}"
                raise ConfigError(f"{self.origin.name(full, value)}: {where}{_suggest(key, list(known), path)}")
            parameter = known[key]
            self.nested(parameter, value, full)
            if self.types and not accepts(parameter.annotation, value, parameter.module):
                self.wrong_type(parameter, value, full)

    def nested(self, parameter: Parameter, value: Any, path: str) -> None:
        """Checks the keys of a dict whose annotation is a TypedDict, or a dict of nodes to instantiate."""
        if not isinstance(value, dict) or parameter.annotation is None:
            return
        found = resolve(parameter.module, getattr(parameter.annotation, "id", ""))
        fields = typed_fields(*found) if found and hasattr(found[0], "bases") else None
        if fields is not None:
            self.fields(fields, value, path)
        elif path in ("logger", "callbacks"):
            for name, node in value.items():
                if isinstance(node, dict) and "_target_" not in node:
                    others = [other for other, n in value.items() if isinstance(n, dict) and "_target_" in n]
                    raise ConfigError(
                        f"{self.origin.name(f'{path}.{name}', node)}: {path}.{name} has no _target_"
                        f"{_suggest(name, others, path)}"
                    )

    def wrong_type(self, parameter: Parameter, value: Any, path: str) -> None:
        import ast

        options = choices(parameter.annotation, parameter.module)
        if options:
            expected = f"one of {', '.join(map(str, options))}"
            hint = _suggest(value, options) if isinstance(value, str) else ""
        else:
            expected, hint = ast.unparse(parameter.annotation), ""
        raise ConfigError(f"{self.origin.name(path, value)}: {path} expects {expected}, got {_show(value)}{hint}")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _suggest(name: str, candidates: list[str], path: str = "") -> str:
    """`; did you mean …?` with the nearest candidate; nothing where none is near."""
    near = difflib.get_close_matches(name, [str(c) for c in candidates], n=1, cutoff=0.5)
    return f"; did you mean {f'{path}.' if path else ''}{near[0]}?" if near else ""


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turns what Hydra and OmegaConf raise while composing into a ConfigError of one line."""
    try:
        yield
    except HydraException as error:
        message = _first_line(error)
        missing, options = getattr(error, "missing_cfg_file", None), getattr(error, "options", None)
        if missing and options:
            message += _suggest(str(missing).rsplit("/", 1)[-1], list(options)) + f" (options: {', '.join(options)})"
        raise ConfigError(message) from None
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{key}: {_first_line(error)}" if key else _first_line(error)) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
