"""Holds a composed config against the signatures of what it names, and says where a setting was written."""

import ast
import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pmodel.config.third_party import RANGES, missing_library
from pmodel.files.project import trust_class
from pmodel.instantiate import TRUSTED, TYPED_ALONE, check_trusted
from pmodel.runs.typed import CONFIG_DIR
from pmodel.settings.annotations import accepts, choices, in_words
from pmodel.settings.signatures import Parameter, TargetError, resolve, signature, typed_fields

# Characters of what was typed that a message repeats.
LONGEST = 300
PACKAGES = sorted({name.partition(".")[0] for name in TRUSTED})
INSTANTIATE_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


class ConfigError(ValueError):
    """A config that can't be run; the message is one line."""


class Origins:
    """Says where a setting of the composed config was written: as typed, or in which YAML file."""

    def __init__(self, typed: dict[str, str], folders: list[Path], defaults: Callable[[], list]):
        """What was typed for each key, where YAML files lie, and what gives Hydra's defaults list if need be."""
        self.typed, self.folders, self._defaults = typed, folders, defaults

    def file(self, key: str) -> str | None:
        """The last file of the defaults list that holds the key, relative to the project; None if none does."""
        for prefix, folder, path in reversed(list(self.files())):
            if prefix and not (key == prefix or key.startswith(prefix + ".")):
                continue
            inner = key[len(prefix) :].lstrip(".")
            if inner and _has(OmegaConf.load(path), inner.split(".")):
                return str(path.relative_to(folder.parent))
        return None

    def files(self) -> Iterator[tuple[str, Path, Path]]:
        """The files of the defaults list, later ones prevail: the key that each is below, its folder of YAML files, and
        its path."""
        for default in self._defaults():
            paths = [(folder, folder / f"{default.config_path}.yaml") for folder in self.folders]
            yield from ((default.package or "", *found) for found in [p for p in paths if p[1].is_file()][:1])

    def name(self, key: str, value: Any) -> str:
        """`key=value` as it was typed, or `key: value in conf/…yaml`."""
        for typed_key, line in self.typed.items():
            if key == typed_key or key.startswith(typed_key + "."):
                return line
        file = self.file(key)
        return f"{key}={show(value)}" + (f" in {file}" if file else "")


def _has(node: Any, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(node, DictConfig) or part not in list(node):  # `in` alone overlooks ???
            return False
        node = node._get_node(part)
    return True


def unset(node: Any, key: str = "") -> Iterator[str]:
    """The dotted names of all settings that have to be typed, `???`, in a config that is not resolved.

    OmegaConf.missing_keys looks at what interpolations lead to, and so stumbles over what is not typed yet.
    """
    if isinstance(node, dict):
        for name, child in node.items():
            yield from unset(child, f"{key}.{name}".lstrip("."))
    elif node == "???":
        yield key


class Checker:
    """Walks a composed, resolved config; each `_target_` is held against the signature of what it names."""

    def __init__(self, origin: Origins, types: bool):
        self.origin, self.types = origin, types

    def tree(self, node: Any, path: str) -> None:
        if isinstance(node, dict):
            if "_target_" in node:
                self.trusted(str(node["_target_"]), f"{path}._target_")
                self.target(node, path)
            for key, child in node.items():
                self.tree(child, f"{path}.{key}".lstrip("."))
        elif isinstance(node, list):
            for child in node:
                self.tree(child, path)

    def trusted(self, target: str, key: str) -> None:
        # What a run says is composed of its own directory alone.
        if target.startswith(TYPED_ALONE) and CONFIG_DIR in self.origin.folders:
            trust_class(target)
        try:
            check_trusted(target)
        except ValueError as error:
            reason = str(error).removeprefix(f"_target_={target}")
            hint = suggest(target.partition(".")[0], PACKAGES)
            raise ConfigError(f"{self.origin.name(key, target)}{reason}{hint}") from None

    def target(self, node: dict, path: str) -> None:
        target = str(node["_target_"])
        try:
            known = signature(target)
        except TargetError as error:
            key = f"{path}._target_"
            raise ConfigError(
                f"{self.origin.name(key, node['_target_'])}: {error}{suggest(error.name, error.candidates)}"
            ) from None
        if library := missing_library(target):
            raise ConfigError(f"{self.origin.typed.get(path.replace('.', '/'), path)}: needs {library}")
        given = {key: value for key, value in node.items() if key not in INSTANTIATE_KEYS}
        self.fields(parameters_of(target), given, path, accepts_any=known.accepts_any)
        # Deeper nodes get further arguments from the object that builds them.
        if path in ("model", "data", "trainer") or path.startswith(("callbacks.", "logger.", "metric.")):
            self.required(known.parameters, given, path)

    def fields(self, known: dict[str, Parameter], given: dict, path: str, accepts_any: bool = False) -> None:
        for key, value in given.items():
            full = f"{path}.{key}".lstrip(".")
            if key not in known:
                if accepts_any:
                    continue
                where = f"{path} has no {key!r}" if path else f"there is no setting {key!r}"
                if full in ("experiment", "debug"):
                    where = "expected '# @package _global_' as the first line of that file"
                hint = suggest(key, list(known), path)
                if f"{path}._target_" in self.origin.typed and full not in self.origin.typed:
                    hint += f"; ~{full} leaves it out"
                raise ConfigError(f"{self.origin.name(full, value)}: {where}{hint}")
            parameter = known[key]
            self.nested(parameter, value, full)
            if self.types and not accepts(parameter.annotation, value, parameter.module):
                self.wrong_type(parameter, value, full)

    def required(self, known: dict[str, Parameter], given: dict, path: str) -> None:
        for key, parameter in known.items():
            if parameter.required and key not in given:
                full = f"{path}.{key}".lstrip(".")
                raise ConfigError(f"{full} is missing: set {full}=…" + (f", which {path} needs" if path else ""))

    def nested(self, parameter: Parameter, value: Any, path: str) -> None:
        """Checks the keys of a dict whose annotation is a TypedDict, or a dict of nodes to instantiate."""
        if not isinstance(value, dict) or parameter.annotation is None:
            return
        fields = fields_below(parameter)
        if fields is not None:
            self.fields(fields, value, path)
        elif ast.unparse(parameter.annotation) == "dict[str, dict | None]":
            for name, node in value.items():
                if node is None or (isinstance(node, dict) and "_target_" in node):
                    continue
                reason = "expected settings of its own, or null"
                if isinstance(node, dict):
                    others = [other for other, n in value.items() if isinstance(n, dict) and "_target_" in n]
                    reason = f"{path}.{name} has no _target_{suggest(name, others, path)}"
                raise ConfigError(f"{self.origin.name(f'{path}.{name}', node)}: {reason}")

    def wrong_type(self, parameter: Parameter, value: Any, path: str) -> None:
        options = choices(parameter.annotation, parameter.module)
        hint = suggest(value, options) if isinstance(value, str) else ""
        name, expected = self.origin.name(path, value), in_words(parameter.annotation, parameter.module)
        came = "" if name.lstrip("+").startswith(f"{path}=") else f" for {path}, got {show(value)}"
        raise ConfigError(f"{name}: expected {expected}{came}{hint}")


def fields_below(parameter: Parameter) -> dict[str, Parameter] | None:
    """The fields of the TypedDict that an annotation names; None if it names none."""
    found = resolve(parameter.module, getattr(parameter.annotation, "id", ""))
    return typed_fields(*found) if found and hasattr(found[0], "bases") else None


def parameters_of(target: str) -> dict[str, Parameter]:
    """The arguments of a `_target_`, with what the project itself says of those of somebody else's class."""
    known = signature(target).parameters
    return known | {k: p for k, p in more_of(target).items() if k in known}


def more_of(target: str) -> dict[str, Parameter]:
    """What the project itself says of the arguments of somebody else's class."""
    name = next((name for prefix, name in RANGES.items() if target.startswith(prefix)), None)
    return typed_fields(*resolve("pmodel.config.third_party", name)) if name else {}


def show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


# What other frameworks and papers call a setting.
OTHER_NAMES = {
    "k": ("num_clusters", "num_components"),
    "learning_rate": ("lr",),
    "gpus": ("devices",),
    "num_gpus": ("devices",),
    "num_epochs": ("max_epochs",),
    "dataset": ("data",),
    "n_clusters": ("num_clusters",),
    "n_components": ("num_components",),
    "z_dim": ("latent_dim",),
    "num_layers": ("hidden_dims", "num_blocks"),
}


def suggest_setting(name: str, config: DictConfig, path: str, options: Callable[[str], list[str]]) -> str:
    """`; did you mean …?` with the settings of that name, or of a longer one that contains it, anywhere below `path` in
    a composed config; nothing where there are none, or many."""
    names = {name, *OTHER_NAMES.get(name, ())}
    content = OmegaConf.to_container(config, resolve=False, throw_on_missing=False)
    keys = [key for key in _dotted(content, "") if key.startswith(f"{path}." if path else "")]
    found = [key for key in keys if key.rpartition(".")[2] in names]
    if not found:
        words = set(name.split("_"))
        found = [key for key in keys if words <= set(key.rpartition(".")[2].split("_"))]
    found = [key for key in found if not key.startswith("callbacks.")] or found
    if not 0 < len(found) < 4:
        return ""
    # Of a whole node, an option is chosen.
    chosen = [f"{group}=…" if options(group := key.replace(".", "/")) else key for key in found]
    return f"; did you mean {' or '.join(chosen)}?"


def _dotted(node: Any, key: str) -> Iterator[str]:
    """The dotted names of all settings in nested dicts."""
    if isinstance(node, dict):
        for name, child in node.items():
            if name not in INSTANTIATE_KEYS:
                yield f"{key}.{name}".lstrip(".")
                yield from _dotted(child, f"{key}.{name}".lstrip("."))


def suggest(name: str, candidates: list[str], path: str = "") -> str:
    """`; did you mean …?` with the nearest candidate; nothing where none is near."""
    near = difflib.get_close_matches(name, [str(c) for c in candidates], n=1, cutoff=0.6)
    return f"; did you mean {f'{path}.' if path else ''}{near[0]}?" if near else ""
