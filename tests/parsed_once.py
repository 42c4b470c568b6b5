"""Parses each YAML file once in this process, however often Hydra composes: hundreds of tests compose the same files.

Hydra gets a copy each time. A file that has been written since is parsed anew.
"""

import copy
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra.plugins.config_source import ConfigSource

_parsed: dict[tuple[Any, ...], Any] = {}


def _parse_once(source: type[ConfigSource], in_folder: bool) -> None:
    parse = source.load_config

    def load_config(self: ConfigSource, config_path: str) -> Any:
        file = Path(self.path) / self._normalize_file_name(config_path)
        about = file.stat() if in_folder and file.is_file() else None
        key = (source, self.provider, self.path, config_path, about and (about.st_mtime_ns, about.st_size))
        if key not in _parsed:
            _parsed[key] = parse(self, config_path)
        return copy.deepcopy(_parsed[key])

    source.load_config = load_config


_parse_once(FileConfigSource, in_folder=True)
_parse_once(ImportlibResourcesConfigSource, in_folder=False)  # Hydra's own files
