"""The settings for `--help`: types and ranges as signatures say, defaults and meanings as the YAML files say."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError

from pmodel.config.check import Job
from pmodel.config.errors import one_line_errors
from pmodel.config.overrides import jobs_of, parse_overrides
from pmodel.config.tree import Checker, Origins, fields_below, parameters_of
from pmodel.files.printable import printable
from pmodel.settings.annotations import accepts, in_words
from pmodel.settings.signatures import Parameter

# The groups whose settings are listed, besides those at the top.
LISTED = ("data", "model", "trainer", "metric")


def help_texts(config_name: str, overrides: list[str], folders: list[Path]) -> dict[str, Callable[..., str]]:
    """What a template of Hydra's may ask for.

    settings_help: a line for each setting of what is chosen, with its value, what it may be and what it means; of
        `${settings_help:seed,resume}` only these, as far as they are settings of it
    options_help: of `${options_help:model}`, a line for each option of that group

    Raises:
        ConfigError: for the first override that is wrong.
    """
    rows, groups = settings(config_name, overrides, folders), _groups(config_name, overrides, folders)

    def settings_help(*keys: str) -> str:
        if not keys:
            lines = [f"  {line:<44}  {words:<36}  {meaning}" for line, words, meaning in rows]
            return _listed("Settings with their values, what each may be, and what it means:", "", *lines)
        known = {line.partition("=")[0]: (line, meaning) for line, _, meaning in rows} | groups
        return _listed(*("  {:<25}  {}".format(*known[key]) for key in keys if key in known))

    def options_help(group: str) -> str:
        return _listed(*(f"  {name:<20}  {meaning}" for name, meaning in options(group, folders).items()))

    return {"settings_help": settings_help, "options_help": options_help}


def _listed(*lines: str) -> str:
    return "\n".join(map(str.rstrip, lines))


def options(group: str, folders: list[Path]) -> dict[str, str]:
    """The options of a group, each with the comment in the first line of its file; an empty text if that has none."""
    files = {file.stem: file for folder in reversed(folders) for file in (folder / group).glob("*.yaml")}
    first = {name: files[name].read_text(encoding="utf-8").partition("\n")[0] for name in sorted(files)}
    return {name: line.removeprefix("# ") if line.startswith("# ") else "" for name, line in first.items()}


def _groups(config_name: str, overrides: list[str], folders: list[Path]) -> dict[str, tuple[str, str]]:
    """Of each group with a comment in the config's own defaults list: `group=option`, as chosen, and the comment."""
    text = (folders[0] / f"{config_name}.yaml").read_text(encoding="utf-8")
    chosen = {o.key_or_group: o.input_line for o in parse_overrides(overrides)}
    found = re.findall(r"^  - (\w+): (\w+) +# (.+)$", text, re.MULTILINE)
    return {group: (chosen.get(group, f"{group}={option}"), meaning) for group, option, meaning in found}


def settings(config_name: str, overrides: list[str], folders: list[Path]) -> list[tuple[str, str, str]]:
    """`key=value`, the type in words, and the meaning, empty where no file has one; of a sweep, its first job."""
    with initialize_config_dir(str(folders[0]), version_base="1.3"), one_line_errors(folders):
        job = Job(config_name, next(jobs_of(parse_overrides(overrides), multirun=True)), folders)
        config, origins = job.composed(), job.origins()
        checker, meant, rows = Checker(origins, types=False), _meanings(origins, config_name), []
        tree = OmegaConf.to_container(config, resolve=False)
        job.check_tree(tree, checker)
        for key, parameter in _declared(tree, job.top(), ""):
            value = _value(config, key)
            if value != "???" and not accepts(parameter.annotation, value, parameter.module):
                checker.wrong_type(parameter, value, key)
            words = in_words(parameter.annotation, parameter.module) if parameter.annotation else ""
            rows.append((f"{key}={_as_typed(value)}", words, meant.get(key, "")))
    return rows


def _declared(node: dict, known: dict[str, Parameter], path: str) -> Iterator[tuple[str, Parameter]]:
    """The dotted names of all settings at and below a node, of which `known` are declared."""
    for name, child in node.items():
        key = f"{path}.{name}".lstrip(".")
        if isinstance(child, dict) and (path or name in LISTED):
            below = fields_below(known[name]) if name in known else None
            yield from _declared(child, parameters_of(child["_target_"]) if "_target_" in child else below or {}, key)
        elif not isinstance(child, dict) and name in known:
            yield key, known[name]


def _value(config: DictConfig, key: str) -> Any:
    try:
        value = OmegaConf.select(config, key, default="???")
    except InterpolationToMissingValueError:
        return "???"
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _as_typed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_as_typed, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return printable(str(value))


def _meanings(origins: Origins, config_name: str) -> dict[str, str]:
    """The comment on each key's line, by the dotted key. Files that set keys of other groups, such as experiments, say
    why they do, and so don't count."""
    found: dict[str, str] = {}
    for prefix, folder, path in origins.files():
        if prefix or path == folder / f"{config_name}.yaml":
            text = path.read_text(encoding="utf-8")
            found |= _comments(yaml.compose(text, yaml.SafeLoader), text.splitlines(), prefix)
    return found


def _comments(node: yaml.Node | None, lines: list[str], path: str) -> dict[str, str]:
    found = {}
    for name, child in node.value if isinstance(node, yaml.MappingNode) else []:
        key = f"{path}.{name.value}".lstrip(".")
        if comment := re.search(r"\s#\s*(.+)$", lines[name.start_mark.line]):
            found[key] = comment[1]
        found |= _comments(child, lines, key)
    return found
