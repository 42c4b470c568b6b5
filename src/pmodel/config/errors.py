"""What Hydra, OmegaConf and YAML raise while a config is composed, in one line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from pmodel.config.tree import ConfigError, suggest
from pmodel.files.printable import first_line

# What Hydra says of an override that is of the wrong type.
MERGING = "Error merging override "


@contextmanager
def one_line_errors(folders: Sequence[Path]) -> Iterator[None]:
    """Turns what Hydra and OmegaConf raise while composing files of some folders into a ConfigError of one line."""
    try:
        yield
    except HydraException as error:
        raise ConfigError(_of_hydra(error)) from None
    except OmegaConfBaseException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ConfigError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from None
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{key}: {first_line(error)}" if key else first_line(error)) from None
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
        raise ConfigError(f"the defaults list can't be composed: {first_line(error)}") from None


def _of_hydra(error: HydraException) -> str:
    message = first_line(error)
    if message.startswith(MERGING):
        reason = first_line(error.__cause__ or error).removeprefix(MERGING)
        return f"{message.removeprefix(MERGING)}: {reason}"
    missing, options = getattr(error, "missing_cfg_file", None), getattr(error, "options", None)
    if missing and options:
        message += suggest(str(missing).rsplit("/", 1)[-1], list(options)) + f" (options: {', '.join(options)})"
    return message
