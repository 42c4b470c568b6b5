"""The command line, checked before anything heavy is imported: one line, naming the key as typed, and exit code 2."""

import re
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser

from pmodel.commands.encode_place import check_encode
from pmodel.commands.quiet import accept_any_terminal
from pmodel.commands.sample_place import check_sample
from pmodel.config.check import check_overrides
from pmodel.config.early_checks import check_writable
from pmodel.config.help import help_texts
from pmodel.config.overrides import parse_overrides
from pmodel.config.resolvers import eval_dir, register_help, register_resolvers
from pmodel.config.resuming import with_resumed_config
from pmodel.config.tree import LONGEST, ConfigError, suggest
from pmodel.files.foreign import check_links
from pmodel.files.project import trust, trusted_packages
from pmodel.instantiate import check_trusted, targets
from pmodel.processes.ending import WRONG_INPUT, end
from pmodel.processes.launch import is_first
from pmodel.runs.saved import find_runs, read_config
from pmodel.runs.typed import config_folders
from pmodel.runs.zoo import in_zoo


def checked_command_line(config_name: str, argv: list[str]) -> list[str]:
    """The command line for Hydra, checked; `resume=<run directory>` becomes that run's own config, `resume=<multirun>`
    what was typed for it.

    Ends the process with one line on stderr and exit code 2 if the command line or a config file is wrong. Leaves
    `--cfg`, `--info` and shell completion to Hydra, and `--help` but for its section on settings.
    """
    register_resolvers()
    accept_any_terminal()
    parser = get_args_parser()
    parser.error = _refuse
    args, unknown = parser.parse_known_intermixed_args(argv)
    # Hydra wants options first.
    argv = [word for word in argv if word not in args.overrides] + args.overrides
    if args.hydra_help or args.cfg or args.info or args.shell_completion:
        return argv
    try:
        argv, args.overrides = _trusting(argv, args.overrides)
        if unknown:
            raise ConfigError(f"{unknown[0]}: no such option{suggest(unknown[0], OPTIONS)}")
        if args.config_dir and not Path(args.config_dir).is_dir():
            raise ConfigError(f"--config-dir {args.config_dir}: there is no such folder")
        if config_name in OF_RUNS:
            if not args.help:
                _check_runs(config_name, args.overrides, bool(args.multirun))
        elif not (args.config_path or args.help):
            argv = with_resumed_config(argv, args.overrides, bool(args.multirun))
            args = get_args_parser().parse_args(argv)
        folders = [Path(args.config_path).absolute()] if args.config_path else config_folders()
        folders += [Path(args.config_dir).absolute()] if args.config_dir else []
        if args.help:
            register_help(help_texts(args.config_name or config_name, args.overrides, folders))
            return [word for word in argv if word not in args.overrides]
        name = check_overrides(args.config_name or config_name, args.overrides, folders, multirun=bool(args.multirun))
    except ConfigError as error:
        _refuse(str(error))
    if is_first():
        # PyTorch and Lightning take seconds.
        print(f"{name}: loading …", flush=True)
    return argv


# The commands that ask finished runs.
OF_RUNS = ("eval", "sample", "encode")
OPTIONS = ["--help", "--multirun", "--cfg", "--info", "--package", "--resolve"]
OPTIONS += ["--config-dir", "--config-name", "--config-path", "--shell-completion", "--hydra-help"]
# Longer than any that a user wants to read again.
LONG_WORD = re.compile(rf"\S{{{LONGEST},}}")


def _refuse(line: str) -> NoReturn:
    end(WRONG_INPUT, f"error: {re.sub(LONG_WORD, _shortened, line)}")


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][:40]}… ({len(word[0]):,} characters){':' * word[0].endswith(':')}"


def _trusting(argv: list[str], overrides: list[str]) -> tuple[list[str], list[str]]:
    """The words of a command line, and the overrides among them, without `trusted=[…]`, which is obeyed and kept in no
    file.

    Raises:
        ConfigError: if it, or pyproject.toml, says something else than names of packages.
    """
    typed = [word for word in overrides if word.partition("=")[0] == "trusted"]
    try:
        for override in parse_overrides(typed):
            trust(None if override.is_sweep_override() else override.value(), override.input_line)
        trusted_packages()
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return [word for word in argv if word not in typed], [word for word in overrides if word not in typed]


def _check_runs(command: str, overrides: list[str], multirun: bool) -> None:
    """Looks for the runs that are asked, and for the place to write to, before anything heavy is imported."""
    typed = {o.key_or_group: o for o in parse_overrides(overrides)}
    if "run" not in typed:
        raise ConfigError("run must be set: type run=… (a run directory, a checkpoint, or the directory of a multirun)")
    line = typed["run"].input_line
    if multirun or typed["run"].is_sweep_override():
        takes = "takes several runs at once, as 'run=[a,b]'" if command == "eval" else "takes one run"
        raise ConfigError(f"{line}: {takes}; leave out --multirun")
    value = typed["run"].value()
    if not isinstance(value, str | list) or not value:
        raise ConfigError(f"{line}: expected a run directory or a checkpoint, or a list of these")
    paths = value if isinstance(value, list) else [value]
    configs = _configs_of(paths)
    if command == "eval":
        if len(paths) == 1 and not in_zoo(paths[0]) and "hydra.run.dir" not in typed:
            _check_eval_dir(paths, line)
        return
    if len(configs) > 1:
        raise ConfigError(f"{line}: expected one run, and these are {len(configs)}")
    if not is_first():
        return  # where the first process may write already
    check = {"sample": check_sample, "encode": check_encode}[command]
    check(typed["out"].value() if "out" in typed else None, configs[0])


def _configs_of(paths: list[str]) -> list[dict[str, Any]]:
    """The settings of runs, of which each may be opened."""
    configs = []
    try:
        for run in find_runs(paths)[0]:
            place = f"run={run.folder}"
            configs.append(read_config(run.folder, place))
            for target in targets(configs[-1]):
                check_trusted(target, place)
            check_links(run.folder)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return configs


def _check_eval_dir(paths: list[str], line: str) -> None:
    try:
        check_writable(Path(eval_dir(paths, "")), line)
    except ConfigError as error:
        raise ConfigError(f"{error}; hydra.run.dir=… writes elsewhere") from None
