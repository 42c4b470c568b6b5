"""The command line, checked before anything heavy is imported: one line, naming the key as typed, and exit code 2."""

import gc
import os
import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override

from pmodel.config import CONFIG_DIR, check_overrides, parse_overrides
from pmodel.config_tree import ConfigError, suggest
from pmodel.quiet import accept_any_terminal
from pmodel.resolvers import eval_dir, register_resolvers
from pmodel.saved import ENDED, SWEEP_FILE, find_runs, quoted, read_config, read_json, read_status


def checked_command_line(config_name: str, argv: list[str]) -> list[str]:
    """The command line for Hydra, checked; `resume=<run directory>` becomes that run's own config, `resume=<multirun>`
    what was typed for it.

    Ends the process with one line on stderr and exit code 2 if the command line or a config file is wrong. Leaves
    `--help`, `--cfg`, `--info` and shell completion to Hydra.
    """
    register_resolvers()
    accept_any_terminal()
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
    typed, path = resume[-1].input_line, Path(str(resume[-1].value()))
    if multirun:
        raise ConfigError(f"{typed}: goes on with what is there; leave out --multirun")
    others = [o for o in parsed if o not in resume]
    if (path / SWEEP_FILE).is_file():
        return _whole_multirun(path, typed, others)
    run = path.absolute().parent.parent if path.is_file() else path
    if str(path) == "." or not (run / "config.yaml").is_file():
        raise ConfigError(
            f"{typed}: expected the directory of a run or a multirun, or a checkpoint, but there is no"
            f" {run / 'config.yaml'}{_newest_below(path)}"
        )
    try:
        status = read_status(run / "status.json", typed).get("status")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    more = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
    if status in ENDED and not any(o.key_or_group in more for o in others):
        raise ConfigError(f"{typed}: that run is {status}; add {more[0]}=… for more (or {more[1]}, {more[2]})")
    for override in others:
        if not override.key_or_group.startswith(RESUMABLE):
            raise ConfigError(
                f"{override.input_line}: a resumed run keeps its settings; it can change trainer.max_epochs,"
                " .max_steps, .max_time, .accelerator, .devices, callbacks.… and logger.…, and where the data lie"
            )
    options = [word for word in argv if word not in overrides]
    return [*arguments_of_run(run, path), *options, *(o.input_line for o in others)]


def _newest_below(folder: Path) -> str:
    """The end of a line about a folder that is none of a run's: the newest in it that is."""
    found = [
        file.parent
        for depth in ("*", "*/*")
        for name in ("config.yaml", SWEEP_FILE)
        for file in folder.glob(f"{depth}/{name}")
    ]
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    return f"; the newest one in it is resume={newest}" if newest is not None and str(folder) != "." else ""


def _whole_multirun(folder: Path, typed: str, others: list[Override]) -> list[str]:
    """What was typed for a multirun, to be run in its directory once more."""
    if others:
        raise ConfigError(f"{others[0].input_line}: a resumed multirun keeps its settings; leave it out")
    try:
        words = list(map(str, (read_json(folder / SWEEP_FILE, typed) or {})["typed"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{typed}: {folder / SWEEP_FILE} can't be read ({error})") from None
    words = [word for word in words if not word.startswith("hydra.sweep.dir=")]
    return [*words, f"hydra.sweep.dir={quoted(str(folder))}"]


def arguments_of_run(run: Path, resume: Path | None) -> list[str]:
    """The command line of a process that takes its settings from the config.yaml of a run directory."""
    own: dict[str, Path] = {"hydra.run.dir": run, "paths.run_dir": run.absolute()}
    if resume is not None:
        own["resume"] = resume
    settings = [f"{key}={quoted(str(value))}" for key, value in own.items()]
    settings += ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]
    return ["--config-path", str(run.absolute()), "--config-name", "config", *settings]


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
