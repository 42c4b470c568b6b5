"""What is asked for in Python, composed and checked as what is typed to a command."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pmodel.config.check import ROOTS, Job
from pmodel.config.early_checks import check_training
from pmodel.config.errors import one_line_errors
from pmodel.config.overrides import parse_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import Checker, Origins, show
from pmodel.data.arrays import Arrays, Examples, examples_of, settings_of
from pmodel.files.printable import quoted, setting
from pmodel.instantiate import instantiate
from pmodel.runs.typed import config_folders
from pmodel.settings.signatures import resolve, typed_fields


@dataclass(frozen=True)
class Recipe:
    """Options and settings, of which a command's config is composed.

    words: as typed: `model=vae`, `model/network=conv`, `data.batch_size=32`
    settings: values by their dotted names
    examples: that were handed over, in place of an option of the group data
    hidden: options that nobody can type
    model_name: in the run's name; None: the option of the group model
    """

    words: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    examples: Examples | None = None
    hidden: tuple[str, ...] = ()
    model_name: str | None = None
    command: str = "train"

    def __post_init__(self) -> None:
        for word in self.words:
            if not isinstance(word, str):
                raise ValueError(f"{show(word)}: expected a setting as it is typed, such as 'data.batch_size=32'")

    def having(self, data: Any = None, words: Sequence[str] = (), **settings: Any) -> "Recipe":
        """The recipe with other data, further words and further settings, by their dotted names.

        data: an option's name, a recipe of data, or what `examples_of` takes; None: as they are

        Raises:
            ValueError: of one line, if the data are neither.
        """
        settings = {**self.settings, **settings}
        if data is None and not any(str(word).startswith("data=") for word in words):
            return replace(self, words=(*self.words, *words), settings=settings)
        others = tuple(word for word in self.words if not word.startswith("data="))
        changed = replace(self, words=(*others, *words), settings=settings, examples=None)
        if isinstance(data, Recipe):
            return replace(changed, words=(*others, *data.words, *words), settings={**data.settings, **settings})
        if isinstance(data, str):
            return replace(changed, words=(*others, f"data={data}", *words))
        return changed if data is None else replace(changed, examples=examples_of(data))

    def composed(self) -> DictConfig:
        """The config, not resolved.

        Raises:
            ConfigError: of one line, for an option or a setting that there is not.
        """
        hidden = (*self.hidden, *(["data=shared/images"] if self.examples is not None else []))
        with one_line_errors(config_folders()):
            config = OmegaConf.create(_composed(self.command, self.words, hidden, tuple(config_folders())))
            of_data = {} if self.examples is None else settings_of(self.examples)
            for key, value in {f"data.{name}": value for name, value in of_data.items()}.items():
                # What is typed prevails.
                if not any(word.startswith(f"{key}=") for word in self.words):
                    OmegaConf.update(config, key, value, merge=False, force_add=True)
            for key, value in self.settings.items():
                OmegaConf.update(config, key, plain(value), merge=False, force_add=True)
            if "name" in config:
                kind, _, where = str(config.name).partition("-")
                config.name = f"{self.model_name or kind}-{'arrays' if self.examples is not None else where}"
        return config

    @property
    def in_files(self) -> bool:
        """Whether a command finds all of it: no examples and no class that are in this process alone."""
        return self.examples is None and not self.hidden

    def node(self, group: str) -> dict[str, Any]:
        """The settings of a group, model or data, resolved, each of which its class has.

        Raises:
            ConfigError: of one line, if it has not.
        """
        config = self.composed()
        with one_line_errors(config_folders()):
            node = OmegaConf.to_container(OmegaConf.select(config, group), resolve=True)
            Checker(self.origins(), types=False).tree(node, group)
        return node

    def check(self, config: DictConfig) -> None:
        """Holds all but the model and the data, which are built already, against their signatures.

        Raises:
            ConfigError: of one line, at the first thing wrong.
        """
        with one_line_errors(config_folders()):
            values = OmegaConf.to_container(config, resolve=True)
            checker = Checker(self.origins(), types=True)
            checker.fields(typed_fields(*resolve("pmodel.config.schema", ROOTS[self.command].__name__)), values, "")
            checker.tree({key: value for key, value in values.items() if key not in ("model", "data")}, "")
            check_training(values, {}, self.origins().name)

    def origins(self) -> Origins:
        # A group's choice is no setting.
        typed = {key.lstrip("+~"): word for word in self.words if "." in (key := word.partition("=")[0]) or "/" in key}
        given = {key: f"{key}={show(value)}" for key, value in self.settings.items()}
        return Origins({**typed, **given}, config_folders(), list)

    @property
    def typed(self) -> list[str]:
        """What would be typed for it."""
        return [*self.words, *(setting_line(key, value) for key, value in self.settings.items())]

    def data(self, node: dict[str, Any]) -> Any:
        """The data module of its settings, with the examples that were handed over."""
        made = instantiate(node)
        if isinstance(made, Arrays) and self.examples is not None:
            made.hold(self.examples)
        return made


@cache
def _composed(command: str, words: tuple[str, ...], hidden: tuple[str, ...], folders: tuple[Path, ...]) -> str:
    """The config of a command as YAML, not resolved."""
    register_resolvers()
    before = HydraConfig.instance().cfg
    try:
        with initialize_config_dir(str(folders[0]), version_base="1.3"):
            job = Job(command, parse_overrides([*hidden, *words]), list(folders))
            for override in parse_overrides(list(hidden)):
                job.options[override.key_or_group].append(override.value())
            config = job.composed()
            if "name" in config:
                config.name = str(config.name)  # which Hydra's own config knows
            config.paths.run_dir = "."
            return OmegaConf.to_yaml(config)
    finally:
        HydraConfig.instance().cfg = before


def plain(value: Any) -> Any:
    """A value as a file of settings can have it."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value.item() if hasattr(value, "item") else value


def setting_line(key: str, value: Any) -> str:
    """`key=value` as Hydra takes it."""
    return setting(key, str(value)) if isinstance(value, str | Path) else f"{key}={_as_typed(plain(value))}"


def _as_typed(value: Any) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{key}:{_as_typed(part)}" for key, part in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_as_typed, value)) + "]"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return quoted(value)
    return str(value)
