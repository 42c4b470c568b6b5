"""What the files in conf/ compute from other settings, by the names that they use in `${name:…}`."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from pmodel.config.tree import ConfigError
from pmodel.data.table_layout import Column, Header
from pmodel.data.tables import layout, num_classes
from pmodel.processes.launch import counted
from pmodel.runs.typed import project_data_dir
from pmodel.runs.zoo import in_zoo
from pmodel.settings.annotations import accepts
from pmodel.settings.signatures import signature


def register_resolvers() -> None:
    """Registers functions of this module by their own names: `${num_levels:…}`."""
    shapes = (num_levels, code_dim, num_components, fitting, table_shape, table_classes, if_images)
    shapes += (array_shape, array_levels, array_classes)
    for function in (*shapes, classifier_mode, epochs_for, choose, features_dir, eval_dir, num_devices):
        OmegaConf.register_new_resolver(function.__name__, function, replace=True)
    register_help({name: lambda *_: "" for name in ("settings_help", "options_help")})


def register_help(texts: Mapping[str, Callable[..., str]]) -> None:
    """Makes `${settings_help:}` and the like in Hydra's template of `--help` texts, in which it shall look for no
    names."""
    for name, text in texts.items():
        OmegaConf.register_new_resolver(name, _quoted(text), replace=True)


def _quoted(text: Callable[..., str]) -> Callable[..., str]:
    return lambda *words: text(*words).replace("$", "$$")


def num_levels(binarize: str, dequantize: bool, source_levels: int) -> int | None:
    """How many values a sub-pixel can take once the data module is done with it; None if it is continuous."""
    if binarize != "none":
        return 2
    return None if dequantize else source_levels


def code_dim(shape: list[int]) -> int:
    """The size of an autoencoder's code: a 24th of the data's dimensions, between 16 and 256, and no more than all."""
    dims = math.prod(shape)
    return min(dims, 256, max(16, dims // 24))


def fitting(count: int, shape: list[int]) -> int:
    """`count` examples, or as many as 2^25 numbers hold, which are 256 MiB of float64, where that is fewer."""
    return max(1, min(count, 2**25 // max(1, math.prod(shape))))


def table_shape(path: str, header: Header, columns: list[Column] | None, label_column: Column | None) -> list[int]:
    """[D] of the columns of a table that a model learns from; [1] for a wrong value, which is refused under its own
    name.

    Raises:
        ConfigError: if the file is no table, or has no such columns.
    """
    return _of_table(lambda found: [len(found.chosen)], [1], path, header, columns, label_column)


def table_classes(path: str, header: Header, columns: list[Column] | None, label_column: Column | None) -> int | None:
    """How many classes the column of labels of a table has; None without one.

    Raises:
        ConfigError: as `table_shape`, and if there are too few or too many.
    """
    return None if label_column is None else _of_table(num_classes, None, path, header, columns, label_column)


def _of_table(measure: Callable[[Any], Any], otherwise: Any, *settings: Any) -> Any:
    """What `measure` gives of a table's layout; `otherwise` where there is none, or for settings of wrong types."""
    known = signature("pmodel.data.table.Table").parameters
    given = dict(zip(("path", "header", "columns", "label_column"), settings, strict=True))
    values = OmegaConf.to_container(OmegaConf.create(given))
    if not all(accepts(known[name].annotation, value, known[name].module) for name, value in values.items()):
        return otherwise
    try:
        return measure(layout(**values)) if Path(values["path"]).expanduser().is_file() else otherwise
    except ValueError as error:
        raise ConfigError(str(error)) from None


def array_shape(path: str, array: str | None) -> list[int]:
    """[C, H, W] or [D] of the examples in a .npy or .npz; [1] for a wrong value, which is refused under its own name.

    Raises:
        ConfigError: if the file has no such array.
    """
    return _of_arrays(lambda headers, found: found.example, [1], path, array)


def array_levels(path: str, array: str | None) -> int | None:
    """How many levels the images in a .npy or .npz have; None for points."""
    return _of_arrays(lambda headers, found: headers.num_levels(path, found), 256, path, array)


def array_classes(path: str, array: str | None, labels: str | None) -> int | None:
    """How many classes the labels of a .npy or .npz distinguish; None without them."""
    if not isinstance(labels, str):
        return None
    return _of_arrays(
        lambda headers, found: headers.num_classes(headers.labels_in(path, labels, found.shape[0])), None, path, array
    )


def _of_arrays(measure: Callable[[Any, Any], Any], otherwise: Any, path: str, array: str | None) -> Any:
    """What `measure` gives of `array_headers` and the header of a file; `otherwise` where there is none."""
    if not (isinstance(path, str) and isinstance(array, str | None) and Path(path).expanduser().is_file()):
        return otherwise
    from pmodel.data import array_headers  # with numpy, which others don't need

    try:
        return measure(array_headers, array_headers.header_of(path, array))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def num_components(shape: list[int], num_classes: int | None) -> int:
    """As many Gaussians as the data have classes, at least 10, and on the line, where that draws wiggles, 3."""
    return max(num_classes or 0, 3 if list(shape) == [1] else 10)


def classifier_mode(encoder: Mapping) -> Literal["scratch", "fine_tune"]:
    """How a classifier is trained if nobody says: from random weights where there is no run to start from."""
    return "fine_tune" if "run" in encoder.keys() else "scratch"  # noqa: SIM118  (`in` alone overlooks ???)


def epochs_for(num_steps: int, num_examples: int | None, batch_size: int, at_least: int) -> int:
    """How many epochs make `num_steps` steps, and no fewer than `at_least`; that many where all examples are used."""
    if not all(isinstance(n, int) and n > 0 for n in (num_examples, batch_size)):
        return at_least  # all of them, or a wrong value, which is refused under its own name
    return max(at_least, math.ceil(num_steps / math.ceil(num_examples / batch_size)))


def choose(key: str, values: dict, otherwise: Any) -> Any:
    """`values[key]`, or `otherwise`: `${choose:${model.objective},{hinge:2},1}` is 2 for hinge, else 1."""
    return values.get(key, otherwise)


def if_images(shape: list[int], value: Any, otherwise: Any) -> Any:
    """The first value for images [C, H, W], the second for points [D]."""
    chosen = value if len(shape) == 3 else otherwise
    return OmegaConf.create(chosen) if isinstance(chosen, list) else chosen  # what --cfg job --resolve can print


def eval_dir(run: str | list[str], log_dir: str) -> str:
    """Where evaluations are written: in the run, or in the multirun, that is evaluated; of several, and of those that
    come with the package, among the logs."""
    paths = [run] if isinstance(run, str) else list(run)
    if len(paths) > 1 or in_zoo(paths[0]):
        return f"{log_dir}/eval"
    path = Path(paths[0]).expanduser()
    return str((path.absolute().parent.parent if path.is_file() else path) / "eval")


def features_dir(data_dir: str | None) -> str:
    """Where the features of data sets are kept: beside the user's data. A run names no place to write to."""
    return f"{project_data_dir() if data_dir is None else data_dir}/features"


def num_devices(devices: int | str | list[int]) -> int:
    """How many devices `trainer.devices` asks for.

    Raises:
        ConfigError: for `auto` and -1, which a machine answers only when the job is on it.
    """
    count = counted(devices)
    if count is None:
        raise ConfigError(f"trainer.devices={devices}: expected a number; the launcher asks for so many")
    return count
