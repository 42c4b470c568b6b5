"""What `resume=…` on a command line becomes: the settings of a run, or what was typed for a multirun.

Neither a run directory nor a multirun's is trusted: a stranger may have made it. What is in it can't run code, nor make
a training write elsewhere. docs/security.md says more.
"""

from pathlib import Path

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from pmodel.config.overrides import parse_overrides
from pmodel.config.tree import ConfigError
from pmodel.files.foreign import check_places, read_json
from pmodel.files.printable import printable, quoted
from pmodel.files.run_files import CONFIG, STATUS, SWEEP
from pmodel.runs.directory import made
from pmodel.runs.saved import ENDED, find_run, read_config, read_status
from pmodel.runs.typed import arguments_of_run, only_typed, project_data_dir, to_type
from pmodel.runs.zoo import fresh_directory, in_zoo, located

# What a resumed run may change: how long, where and how it is shown, not what is trained on what.
RESUMABLE = (
    *("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.accelerator", "trainer.devices"),
    *("trainer.num_nodes", "trainer.strategy", "trainer.profiler", "trainer.log_every_n_steps"),
    *("callbacks.", "logger.", "hydra.", "hydra/", "data_dir", "data.data_dir", "data.path", "data.eval_batch_size"),
)


def with_resumed_config(argv: list[str], overrides: list[str], multirun: bool) -> list[str]:
    """Points Hydra at the run directory that `resume=` names, if it does: nothing is composed anew."""
    parsed = parse_overrides(overrides)
    resume = [o for o in parsed if o.key_or_group == "resume"]
    if not resume or resume[-1].value() is None:
        return argv
    typed, path = resume[-1].input_line, located(str(resume[-1].value()))
    if multirun:
        raise ConfigError(f"{typed}: goes on with what is there; leave out --multirun")
    others = [o for o in parsed if o not in resume]
    if (path / SWEEP).is_file():
        return _whole_multirun(path, typed, others, argv)
    run = path.absolute().parent.parent if path.is_file() else path
    if str(path) == "." or not (run / CONFIG).is_file():
        raise ConfigError(
            f"{typed}: expected the directory of a run or a multirun, or a checkpoint, but there is no {run / CONFIG}"
        )
    try:
        found = read_status(run / STATUS, typed)
        moved = _moved(run, typed, others)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    more = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
    patience = "callbacks.early_stopping"
    if (status := found.get("status")) in ENDED and not any(
        o.key_or_group in more or o.key_or_group.startswith(patience) for o in others
    ):
        if status == "done" and "reason" in found:
            raise ConfigError(f"{typed}: that run was {found['reason']}; add {patience}.patience=… for more")
        raise ConfigError(f"{typed}: that run is {status}; add {more[0]}=… for more (or {more[1]}, {more[2]})")
    for override in others:
        if not override.key_or_group.startswith(RESUMABLE):
            raise ConfigError(
                f"{override.input_line}: a resumed run keeps its settings; it can change trainer.max_epochs,"
                " .max_steps, .max_time, .accelerator, .devices, callbacks.… and logger.…, and where the data lie"
            )
    options = [word for word in argv if word not in overrides]
    own = _copied(run, path, typed, others) if in_zoo(path) else arguments_of_run(run, path)
    return [*own, *options, *moved, *(o.input_line for o in others)]


def _copied(run: Path, path: Path, typed: str, others: list[Override]) -> list[str]:
    """The command line by which a run that comes with the package is resumed, in a directory of its own."""
    asked = [str(override.value()) for override in others if override.key_or_group == "hydra.run.dir"]
    try:
        folder = Path(asked[-1]) if asked else fresh_directory(read_config(run, typed), typed)
        checkpoint = find_run(path, typed).checkpoint
    except ValueError as error:
        raise ConfigError(str(error)) from None
    made[:] = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    return arguments_of_run(folder, checkpoint, run)


def _moved(run: Path, typed: str, others: list[Override]) -> list[str]:
    """The settings of a run that name places below its data_dir, where `others` name another one, as overrides.

    Raises:
        ValueError: of one line, if the run, which a stranger may have made, would write to what is not its own.
    """
    saved = read_config(run, typed)
    typed_dirs = [str(override.value()) for override in others if override.key_or_group == "data_dir"]
    if (needed := to_type(saved.get("data_dir"))) and not typed_dirs:
        raise ValueError(f"{typed}: its data lie elsewhere than those of this project; add {needed[0]}")
    own = typed_dirs[-1] if typed_dirs else project_data_dir()
    try:
        return check_places(saved, run, own)
    except ValueError as error:
        raise ValueError(f"{typed}: {run / CONFIG}: {error}") from None


def _whole_multirun(folder: Path, typed: str, others: list[Override], argv: list[str]) -> list[str]:
    """What was typed for a multirun, to be run in its directory once more.

    others, argv: of what was typed for it, what is typed again, since a file can't ask for it
    """
    try:
        words = list(map(str, (read_json(folder / SWEEP, typed) or {})["typed"]))
        words = [word for word in words if not word.startswith("hydra.sweep.dir=")]
        asked_for = only_typed(words)
    except (ValueError, KeyError, TypeError, HydraException) as error:
        raise ConfigError(f"{typed}: {folder / SWEEP} can't be read ({error})") from None
    for line in (other.input_line for other in others):
        if line not in words:
            raise ConfigError(f"{line}: a resumed multirun keeps its settings; leave it out")
    for word in asked_for:
        if word not in argv:
            line = printable(word)
            raise ConfigError(f"{typed}: {folder / SWEEP} says that {line} was typed; type that again behind it")
    return [*words, f"hydra.sweep.dir={quoted(str(folder))}"]
