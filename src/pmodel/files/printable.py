"""Texts and paths in one line, as a terminal or Hydra's command line takes them."""

import re
import unicodedata
from pathlib import Path


def setting(key: str, path: str) -> str:
    """`key=path` as Hydra takes it, quoted where the path needs that."""
    plain = re.fullmatch(r"[\w./:@-]+", path, re.ASCII)
    return f"{key}={path if plain else quoted(path)}"


def quoted(text: str) -> str:
    """A string as Hydra's override grammar takes it, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def printable(text: str) -> str:
    """The text in one line, without what a terminal would take for an order."""
    if text.isprintable():
        return text
    orders = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in orders else c for c in text)


def shown(path: Path) -> str:
    """The path in one line, relative to the working directory where it lies below it."""
    path = Path(path).absolute()
    return printable(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def first_line(error: BaseException) -> str:
    """What an error says, without the rest."""
    return (str(error).strip() or repr(error)).splitlines()[0]
