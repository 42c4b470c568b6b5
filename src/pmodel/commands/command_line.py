"""The command line, checked before anything heavy is imported: one line, naming the key as typed, and exit code 2."""

import re
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from pmodel.commands.quiet import accept_any_terminal
from pmodel.config.check import check_overrides
from pmodel.config.early_checks import check_writable
from pmodel.config.help import settings_help
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
        if config_name == "eval" and not args.help:
            _check_runs(args.overrides, bool(args.multirun))
        elif not (args.config_path or args.help):
            argv = with_resumed_config(argv, args.overrides, bool(args.multirun))
            args = get_args_parser().parse_args(argv)
        folders = [Path(args.config_path).absolute()] if args.config_path else config_folders()
        folders += [Path(args.config_dir).absolute()] if args.config_dir else []
        if args.help:
            register_help(settings_help(args.config_name or config_name, args.overrides, folders))
            return [word for word in argv if word not in args.overrides]
        name = check_overrides(args.config_name or config_name, args.overrides, folders, multirun=bool(args.multirun))
    except ConfigError as error:
        _refuse(str(error))
    if is_first():
        # PyTorch and Lightning take seconds.
        print(f"{name}: loading …", flush=True)
    return argv


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


def _check_runs(overrides: list[str], multirun: bool) -> None:
    """Looks for the runs that are to be evaluated, before anything heavy is imported."""
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
            place = f"run={run.folder}"
            for target in targets(read_config(run.folder, place)):
                check_trusted(target, place)
            check_links(run.folder)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    in_run = len(paths) == 1 and not in_zoo(paths[0])
    if in_run and not any(o.key_or_group == "hydra.run.dir" for o in parse_overrides(overrides)):
        try:
            check_writable(Path(eval_dir(paths, "")), typed[-1].input_line)
        except ConfigError as error:
            raise ConfigError(f"{error}; hydra.run.dir=… writes elsewhere") from None
