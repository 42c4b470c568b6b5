"""Reads the small files of a run directory, whoever wrote them: plain values, and nothing that acts.

docs/security.md says what is trusted and what is not.
"""

import errno
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pmodel.files.printable import printable, quoted

# Far more than any of these files has.
MOST_BYTES = 256 * 2**20
MOST_BYTES_OF_SETTINGS = 2**20
DEEPEST = 50
# Settings that name a place to write to, by how their names end; and the nodes of a training that write.
PLACES = ("path", "dir", "file", "filename", "folder")
WRITING = ("callbacks", "logger", "trainer")
# Eight times faster with libyaml, which most builds of PyYAML have.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# How a path in the run's own directory begins, wherever that lies.
OWN = "${paths.run_dir}"


def read_json(file: Path, place: str) -> dict[str, Any] | None:
    """A JSON file of a run, its texts in one line each; None where there is none.

    Raises:
        ValueError: of one line, if it is not whole.
    """
    try:
        content = json.loads(_text(file, MOST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{place}: {file} can't be read ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{place}: {file} is none of pmodel's files")
    return _with_texts(content, printable)


def read_yaml(file: Path) -> Any:
    """A YAML file of a run: plain values, of which nothing is looked up.

    Raises:
        ValueError: with the reason in a few words, if the file is too large or too deep, or holds aliases, a header of
            Hydra's or control characters.
        OSError: if it can't be read.
    """
    text = _text(file, MOST_BYTES_OF_SETTINGS)
    if text.lstrip().startswith("#"):
        raise ValueError("it begins with a comment, where Hydra looks for orders")
    try:
        deque(_checked(text), maxlen=0)
        content = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError, AttributeError, TypeError) as error:
        raise ValueError(f"{type(error).__name__} while reading it") from None

    def plain(value: str) -> str:
        if value != printable(value):
            raise ValueError(f"it holds control characters: {value[:60]!r}")
        return value

    return _with_texts(content, plain)


def read_texts(file: Path) -> Any:
    """A YAML file of a run as dicts and lists of the texts that stand in it, of which none is interpreted: "1e-3",
    "null". Many times faster than `read_yaml`, for tables of many runs.

    Raises:
        ValueError: with the reason in a few words, if the file is too large or too deep, is no YAML or holds aliases.
        OSError: if it can't be read.
    """
    events = _checked(_text(file, MOST_BYTES_OF_SETTINGS))
    beginnings = yaml.StreamStartEvent | yaml.DocumentStartEvent
    try:
        first = next(event for event in events if not isinstance(event, beginnings))
        return _with_texts(_node(events, first), printable)
    except yaml.YAMLError as error:
        raise ValueError(f"{type(error).__name__} while reading it") from None


def _node(events: Iterator[yaml.Event], event: yaml.Event) -> Any:
    """What begins with an event: a text, or a dict or a list, whose further events are taken."""
    if isinstance(event, yaml.ScalarEvent):
        return event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_node(events, item))
        return items
    if isinstance(event, yaml.MappingStartEvent):
        entries = {}
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise ValueError("the name of a setting is no text")
            entries[key.value] = _node(events, next(events))
        return entries
    raise ValueError("it is empty")


def in_folder(settings: Any, folder: Path) -> Any:
    """Settings that a run saved, with the run's own directory, as it lies now, where they leave it open.

    Raises:
        ValueError: with the reason in a few words, at a value that is to be looked up elsewhere (`${…}`).
    """

    def plain(value: str) -> str:
        own, rest = value.startswith(OWN), value.removeprefix(OWN)
        if "${" in rest or (own and ".." in Path(rest).parts):
            raise ValueError(f"{value[:60]} is no plain value, as a run's settings are saved")
        return f"{folder}{rest}" if own else value

    return _with_texts(settings, plain)


def check_places(settings: dict[str, Any], folder: Path, data_dir: str) -> list[str]:
    """Refuses settings of a saved run with which it would write elsewhere than in its folder and below `data_dir`.

    data_dir: the user's own; what the run kept below its own one is moved there

    Returns:
        The settings that have to be moved, as overrides.

    Raises:
        ValueError: with the first of them, in a few words.
    """
    moved, before = [], str(settings.get("data_dir"))
    data = settings["data"].get("data_dir")
    for key, value in _texts({node: settings.get(node) for node in WRITING} | {"data": {"data_dir": data}}):
        path, is_place = Path(value).expanduser(), key.rpartition(".")[2].lower().endswith(PLACES)
        # In a folder that another setting names.
        in_another = key.endswith("filename") and value == Path(value).name != ".."
        if in_another or not (is_place or path.is_absolute() or ".." in path.parts):
            continue
        if _is_below(path, folder) or _is_below(path, data_dir):
            continue
        if not _is_below(path, before):
            raise ValueError(f"{key}={value[:60]}: expected a place in the run's own directory, or in data_dir")
        moved.append(f"{key}={quoted(str(Path(data_dir) / _normal(path).relative_to(_normal(before))))}")
    check_links(folder)
    return moved


def check_links(folder: Path) -> None:
    """Refuses, among what a run writes, links that lead out of its folder, and pipes, for which one would wait; W&B, in
    its own folder, makes some.

    Raises:
        ValueError: with the first of them, in a few words.
    """
    for entry in (*folder.iterdir(), *folder.glob("checkpoints/*"), *folder.glob("figures/**/*")):
        if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(os.path.realpath(folder)):
            raise ValueError(f"{entry} leads out of the run's own directory")
        if not (entry.is_file() or entry.is_dir() or entry.is_symlink()):
            raise ValueError(f"{entry} is no file")


def _normal(path: str | Path) -> Path:
    return Path(os.path.normpath(Path(path).expanduser().absolute()))


def _is_below(path: str | Path, folder: str | Path) -> bool:
    return _normal(path).is_relative_to(_normal(folder))


def _texts(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text in nested dicts and lists, with its key."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, key)
    elif isinstance(node, str):
        yield key, node


def regular(file: Path) -> Path:
    """The file itself, which may be read.

    Raises:
        OSError: if a pipe or a device is there, for which one might wait forever.
    """
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise OSError(errno.EINVAL, "it is no file", str(file))
    return file


def _text(file: Path, most: int) -> str:
    regular(file)
    if file.is_file() and file.stat().st_size > most:
        raise ValueError(f"it has {file.stat().st_size:,} bytes, expected at most {most:,}")
    return file.read_text(encoding="utf-8")


def _checked(text: str) -> Iterator[yaml.Event]:
    """What a YAML file consists of, looked at before it is built: aliases multiply, and each level takes its share of
    the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it holds aliases, as no file of a run does")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        yield event


def _with_texts(node: Any, change: Callable[[str], str]) -> Any:
    """Nested dicts and lists with each text, keys included, changed."""
    if isinstance(node, dict):
        return {_with_texts(key, change): _with_texts(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_texts(value, change) for value in node]
    return change(node) if isinstance(node, str) else node
