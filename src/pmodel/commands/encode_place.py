"""Where `pmodel encode` writes to. Light to import: a wrong place is refused at once."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pmodel.config.early_checks import check_writable
from pmodel.config.tree import ConfigError
from pmodel.files.printable import setting
from pmodel.reporting.column_files import KINDS


def check_encode(out: Any, config: dict[str, Any]) -> None:
    """What is wrong with a file to write to, before anything heavy is imported.

    out: the file; what is none is refused under its own name
    config: of the run

    Raises:
        ConfigError: of one line.
    """
    if not isinstance(out, str) or not out.strip():
        return
    path, place = Path(out).expanduser(), setting("out", out)
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"{place}: expected a name that ends in {', '.join(KINDS)}")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigError(
            f"{place}: needs pmodel[parquet], which is not installed: pip install 'pmodel[parquet]'; .csv needs nothing"
        )
    if path.exists():
        raise ConfigError(f"{place}: there is a file already, which is kept: type another name")
    check_writable(path.parent, place)
