"""Checks what a command line composes, key by key, before anything heavy is imported."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pmodel.config.early_checks import (
    check_launcher,
    check_subdir,
    check_training,
)
from pmodel.config.errors import one_line_errors
from pmodel.config.overrides import hydras_own, jobs_of, own_sweep, parse_overrides
from pmodel.config.schema import EncodeConfig, EvalConfig, SampleConfig, TrainConfig
from pmodel.config.tree import (
    INSTANTIATE_KEYS,
    Checker,
    ConfigError,
    Origins,
    show,
    suggest,
    suggest_setting,
    unset,
)
from pmodel.files.printable import shown
from pmodel.runs.typed import CONFIG_DIR, config_folders
from pmodel.settings.signatures import Parameter, resolve, signature, typed_fields


def check_overrides(
    config_name: str, overrides: list[str], folders: Sequence[Path] = (), multirun: bool = False
) -> str:
    """Composes what the overrides ask for and checks every key and value of it.

    Args:
        folders: where YAML files lie: pmodel's conf/ first; if empty, that and the one of the user's own project.

    Returns:
        What it is, for a first line: `vae on digits`.

    Raises:
        ConfigError: at the first thing wrong.
    """
    parsed, folders = parse_overrides(overrides), folders or config_folders()
    with initialize_config_dir(str(folders[0]), version_base="1.3"), one_line_errors(folders):
        hydra = hydras_own(config_name, parsed)
        sweep = own_sweep(hydra, parsed)
        everything = [*parsed, *(sweep or [])]
        check_launcher(parsed, multirun or sweep is not None)
        searches = hydra is not None and check_search(hydra.sweeper, everything)
        check_subdir(everything)
        jobs = jobs_of(everything, multirun or sweep is not None, searches)
        names = [Job(config_name, job, list(folders)).check() for job in jobs]
    return ", ".join(dict.fromkeys(names))


# Groups whose options can't be combined.
ONE_OPTION = {"model", "data", "trainer", "paths"}

# What was typed in earlier versions, and what is typed now.
RENAMED = {
    "data=points_csv": "data=table",
    "data.name=csv": "data=table",
    "logger=default": "logger=tensorboard",
    "model.features": "model/encoder=run model.encoder.run",
}

SEARCH = "hydra_plugins.pmodel.search.OptunaSweeper"


def check_search(sweeper: DictConfig, overrides: list[Override]) -> bool:
    """Whether `hydra.sweeper` is the one that searches, and all of it is right.

    Args:
        overrides: what is typed, and the space that a file of the group `sweep` brings.

    Raises:
        ConfigError: at the first thing wrong.
    """
    if sweeper.get("_target_") != SEARCH:
        return False
    lines = {o.key_or_group: o.input_line for o in overrides}
    typed = Origins({"hydra/sweeper": lines.get("sweep", "hydra.sweeper"), **lines}, [CONFIG_DIR], list)
    Checker(typed, types=True).target(OmegaConf.to_container(sweeper, resolve=True), "hydra.sweeper")
    if not any(o.is_sweep_override() for o in overrides):
        raise ConfigError("a search needs something to search, such as 'model.latent_dim=range(4,33,4)'")
    return True


ROOTS: dict[str, type] = {
    "train": TrainConfig,
    "config": TrainConfig,
    "eval": EvalConfig,
    "sample": SampleConfig,
    "encode": EncodeConfig,
}


class Job:
    """One composition: the config's name, the overrides of one job, and the folders with YAML files."""

    def __init__(self, config_name: str, overrides: list[Override], folders: list[Path]):
        self.config_name, self.folders = config_name, folders
        self.loader = GlobalHydra.instance().config_loader()
        # Hydra knows the user's own project by itself.
        further = [f"file://{folder}" for folder in folders[1:] if folder not in config_folders()]
        self.search_path = [f"hydra.searchpath=[{', '.join(further)}]"] if further else []
        # Hydra looks at all folders anew for each; a group's name has no dots.
        self.options = {
            name: self.loader.get_group_options(name, config_name=config_name, overrides=self.search_path)
            for name in {o.key_or_group for o in overrides}
            if "." not in name
        }
        self.groups = [o for o in overrides if self.options.get(o.key_or_group)]
        self.values = [o for o in overrides if o not in self.groups]

    def compose(self, overrides: list[Override]) -> DictConfig:
        """The config without Hydra's own part; the output directory, known only later, is a placeholder."""
        placeholder = ["++hydra.runtime.output_dir=logs", "++hydra.job.num=0", *self.search_path]
        config = compose(self.config_name, [*(o.input_line for o in overrides), *placeholder], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        OmegaConf.set_struct(config, False)
        # Resolved while what it refers to is there.
        self.launcher = OmegaConf.to_container(config.hydra.launcher, resolve=True)
        self.hydra = config.hydra
        del config["hydra"]
        return config

    def compose_named(self) -> DictConfig:
        """The config with all overrides; where Hydra refuses one, the error says which setting it does not know, or
        which part there is no choice of."""
        try:
            return self.compose([*self.groups, *self.values])
        except (HydraException, OmegaConfBaseException, ValueError, KeyError) as error:
            for override in self.groups:
                group, _, part = override.key_or_group.rpartition("/")
                if group and f"'{group}/{part}'" in str(error):
                    self.compose([other for other in self.groups if other is not override])
                    whole = f"{group}={self.hydra.runtime.choices[group]}"
                    raise ConfigError(f"{override.input_line}: {whole} has no {part} to choose") from None
            if self.values:
                plain = self.compose(self.groups)
                classes = [o for o in self.values if o.key_or_group.endswith("._target_")]
                plain = self.compose([*self.groups, *(o for o in classes if OmegaConf.select(plain, o.key_or_group))])
                for override in self.values:
                    if not override.is_add() and not override.is_force_add():
                        self.check_key_exists(plain, override)
            raise

    def composed(self) -> DictConfig:
        """The config of overrides each of which names a setting or an option that there is."""
        for override in (*self.groups, *self.values):
            key = override.key_or_group
            new = RENAMED.get(key) or RENAMED.get(f"{key}={override.value()}")
            if new is not None:
                raise ConfigError(f"{override.input_line}: expected a name of this version; it is called {new} now")
        for override in self.groups:
            self.check_group_choice(override)
        config = self.compose_named()
        for override in self.values:
            self.check_deletion(override)
        return config

    def check(self) -> str:
        """Checks all of it, and gives a name to it."""
        config = self.composed()
        for path in self.doubled():
            raise ConfigError(
                f"{shown(path)}: pmodel has a file of that name, which is read in its place; rename yours"
            )
        if config.get("resume") is not None and not any(o.key_or_group == "resume" for o in self.values):
            raise ConfigError(f"resume={config.resume}: type it on the command line; a file can't ask for it")
        origins = self.origins()
        # Names first: a misspelt key also breaks what refers to it, and is the better thing to say.
        for resolved in (False, True):
            values = OmegaConf.to_container(config, resolve=resolved, throw_on_missing=False)
            self.check_tree(values, Checker(origins, types=resolved))
            for key in [] if resolved else sorted(unset(values)):
                where = origins.file(key) or self.config_name
                raise ConfigError(f"{key} must be set: type {key}=… ({where} leaves it open)")
            if resolved and "trainer" in values:
                check_training(values, {o.key_or_group: o for o in self.values}, origins.name)
        Checker(origins, types=True).target(self.launcher, "hydra.launcher")
        chosen = self.hydra.runtime.choices
        return (
            f"{chosen['model']} on {chosen['data']}" if "model" in chosen else str(values.get("name") or values["run"])
        )

    def check_tree(self, values: dict, checker: Checker) -> None:
        if top := self.top():
            checker.fields(top, values, "")
            checker.required(top, values, "")
        checker.tree(values, "")

    def origins(self) -> Origins:
        parts = [o for o in self.groups if "/" in o.key_or_group]
        return Origins({o.key_or_group: o.input_line for o in (*parts, *self.values)}, self.folders, self.defaults_list)

    def doubled(self) -> Iterator[Path]:
        """Files of the defaults list that lie in several folders, of which Hydra reads the first alone."""
        for default in self.defaults_list() if self.folders[1:] else []:
            yield from [p for f in self.folders if (p := f / f"{default.config_path}.yaml").is_file()][1:]

    def top(self) -> dict[str, Parameter]:
        """The top-level keys, of a config of the project's own; none of another."""
        root = ROOTS.get(self.config_name)
        return (root and typed_fields(*resolve("pmodel.config.schema", root.__name__))) or {}

    def defaults_list(self) -> list:
        lines = [*(o.input_line for o in [*self.groups, *self.values]), *self.search_path]
        return self.loader.compute_defaults_list(self.config_name, lines, RunMode.RUN).defaults

    def check_group_choice(self, override: Override) -> None:
        group, options = override.key_or_group, self.options[override.key_or_group]
        if override.is_delete():
            return
        listed = f"(options: {', '.join(options)})"
        if override.value() is None:
            raise ConfigError(f"{override.input_line}: expected an option of {group}; leave it out for none {listed}")
        if isinstance(override.value(), list) and (group in ONE_OPTION or group.startswith("model/")):
            raise ConfigError(f"{override.input_line}: {group} takes one option at a time {listed}")
        for choice in override.value() if isinstance(override.value(), list) else [override.value()]:
            if str(choice) not in options:
                raise ConfigError(
                    f"{override.input_line}: {group} has no option {choice!r}{suggest(str(choice), options)} {listed}"
                )

    def check_deletion(self, override: Override) -> None:
        """Refuses to leave out a single value, which would be one that stands in no file; parts such as a callback may
        be left out, and what a file says of a class in whose place another one is typed."""
        if not override.is_delete():
            return
        key = override.key_or_group
        plain = self.compose([*self.groups, *(o for o in self.values if not o.is_delete())])
        value = OmegaConf.select(plain, key, throw_on_missing=False, default=None)
        of_another = any(o.key_or_group == f"{key.rpartition('.')[0]}._target_" for o in self.values)
        if not (key.startswith("hydra") or of_another or isinstance(value, DictConfig)):
            raise ConfigError(f"{override.input_line}: a setting can't be left out; type {key}=… with another value")
        if key in ("model", "data", "trainer", "paths"):
            raise ConfigError(f"{override.input_line}: a run needs a {key}; type {key}=… with another one")

    def check_key_exists(self, config: DictConfig, override: Override) -> None:
        node: Any = config
        parts = override.key_or_group.replace("/", ".").split(".")
        for depth, part in enumerate(parts):
            here = ".".join(parts[:depth])
            if (depth, part) == (0, "hydra"):  # which `compose` takes out of the config
                node = self.hydra
                continue
            if isinstance(node, DictConfig) and part in list(node.keys()):  # `in` alone overlooks ???
                if depth == len(parts) - 1:
                    return  # not looked at: it may be `required`
                node = None if OmegaConf.is_missing(node, part) else node[part]
                continue
            if not isinstance(node, DictConfig):
                declared = self.top().get(here)
                if node is None and declared and ast.unparse(declared.annotation) == "dict | None":
                    value = override.input_line.partition("=")[2]
                    raise ConfigError(f"{override.input_line}: {here} is typed whole: '{here}={{{part}: {value}}}'")
                raise ConfigError(f"{override.input_line}: {here} is {show(node)} and has no settings of its own")
            arguments = list(signature(node._target_).parameters) if "_target_" in node else []
            if part in arguments and depth == len(parts) - 1:
                raise ConfigError(f"{override.input_line}: {here} has no value for it yet; put a + in front to add it")
            if here == "callbacks" and part in self.loader.get_group_options(here):
                raise ConfigError(f"{override.input_line}: type callbacks=[default,{part}] too, which adds it")
            names = [k for k in node if k not in INSTANTIATE_KEYS] + ([] if here else self.loader.list_groups(""))
            where = f"{here} has no {part!r}" if here else f"there is no setting {part!r}"
            hint = suggest_setting(part, config, here, self.loader.get_group_options) or suggest(
                part, [*names, *arguments], here
            )
            raise ConfigError(f"{override.input_line}: {where}{hint}")
