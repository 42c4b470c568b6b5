"""What `pmodel encode` does: asks a run's model about each example of a data set, and writes the answers."""

from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from torch import Generator

from pmodel.commands.evaluation import EVALUATED_WITH, answering, opened
from pmodel.evaluation.draws import part_seed
from pmodel.evaluation.encoding import answers
from pmodel.files.printable import shown
from pmodel.instantiate import instantiate, trusted_class
from pmodel.processes.bar import Bar
from pmodel.processes.group import ProcessGroup
from pmodel.processes.launch import is_first
from pmodel.reporting.column_files import Block, column_file
from pmodel.settings.checked import check_given
from pmodel.settings.signatures import signature

# Settings of data that decide what a model sees: those of the run, unless they are typed.
OF_THE_RUN = ("shape", "binarize", "dequantize", "standardize", "columns", "resize", "background")
# Parts that are encoded before a block of the file is written.
PARTS = 32


class Encoding:
    """The examples that settings, those of conf/encode.yaml, name, and the model that is asked about them. All of the
    processes make one each and call `write`.

    source: the option of the group data that was chosen; None: the run's own data
    typed: the words of the command

    Raises:
        ValueError: of one line, if the run or the settings are wrong, or the model can't answer anything.
    """

    def __init__(self, config: DictConfig, source: str | None, typed: list[str], group: ProcessGroup):
        keys = {o.key_or_group for o in OverridesParser.create().parse_overrides(typed)}
        of_run = {"run": config.run, "data_dir": config.data_dir if "data_dir" in keys else None}
        answer = OmegaConf.to_container(config.answer) if config.answer else {}
        (self.run,) = answering(opened({**of_run, "data": {"path": None}}), answer)
        self.group, self.batch_size, self.split, self.seed = group, config.batch_size, config.split, config.seed
        self.path = Path(config.out).expanduser()
        model, place = self.run.model, f"run={shown(self.run.folder)}"
        if not model.fitted:
            raise ValueError(f"{place}: the model was not fitted yet when {self.run.checkpoint.name} was saved")
        self.data = self._source(config, source, keys)
        self.group.from_first(self.data.prepare_data)
        self.x, self.label = self.data.stored(self.split)
        if len(self.x) == 0:
            raise ValueError(f"split={self.split}: the data have no such examples")
        self.model = model.to(group.device)
        if not answers(model, self._seen(slice(0, 1)), self._generator(0)):
            name = type(model).__name__
            raise ValueError(f"{place}: {name} can't answer: it has no code, no cluster and no density of an example")

    def write(self) -> str:
        """Writes the file; gives the line that says what is in it."""
        names = self.data.names() if self.split == "all" else None
        count, size = -(-len(self.x) // self.batch_size), len(self.x)
        if not is_first():
            for begin in range(0, count, PARTS):
                self.group.map(self._answers, range(begin, min(begin + PARTS, count)))
            return ""
        columns: list[str] = []
        with column_file(self.path) as append, Bar(size, "encoding") as bar:
            for begin in range(0, count, PARTS):
                found = self.group.map(self._answers, range(begin, min(begin + PARTS, count)))
                rows = range(begin * self.batch_size, min((begin + PARTS) * self.batch_size, size))
                block = self._names(rows, names)
                block |= {name: np.concatenate([part[name] for part in found]) for name in found[0]}
                append(block)
                columns = list(block)
                bar.update(len(rows))
        return f"codes     {size:,} examples in {shown(self.path)}\ncolumns   {_in_short(columns)}"

    def _source(self, config: DictConfig, source: str | None, typed: set[str]) -> Any:
        """The data module of the examples."""
        own = self.run.config["data"]
        if source is None:
            node = own | (OmegaConf.to_container(config.data, resolve=True) if "data" in config else {})
            known = signature(own["_target_"]).parameters
            for key in node.keys() - own.keys():
                raise ValueError(f"data.{key}: the run's data have no such setting; they have {', '.join(known)}")
        else:
            # Images are brought to the run's size where the source can do that.
            for key in OF_THE_RUN if "resize" in config.data else OF_THE_RUN[1:]:
                if key in own and key in config.data and f"data.{key}" not in typed:
                    config.data[key] = own[key]
            node = OmegaConf.to_container(config.data, resolve=True)
        # The labels are handed on, however many classes there are.
        node |= {key: value for key, value in (EVALUATED_WITH | {"num_classes": None}).items() if key in node}
        check_given(trusted_class(node["_target_"], object), "data", node)
        data = instantiate(node)
        if source is None:
            data.hold_those_of(self.run.data)
        self._check_fits(data, config)
        data.keep_units(self.run.data.units)
        return data

    def _check_fits(self, data: Any, config: DictConfig) -> None:
        """Refuses examples of another kind than the model was trained on."""
        trained, place = self.run.data, f"run={shown(self.run.folder)}"
        for name in ("shape", "num_levels"):
            expected, came = (_plain(getattr(module, name)) for module in (trained, data))
            if expected != came:
                raise ValueError(f"data.{name}={came}: the model of {place} takes {expected}".replace("None", "null"))
        if trained.units and type(data) is not type(trained):
            raise ValueError(f"data={data.source}: expected data={trained.source}, whose units {place} has")

    def _seen(self, rows: slice) -> Any:
        return self.data.seen(self.x[rows]).to(self.group.device)

    def _generator(self, part: int) -> Generator:
        return Generator(self.group.device).manual_seed(part_seed(part, self.seed))

    def _answers(self, part: int) -> Block:
        begin = part * self.batch_size
        x = self._seen(slice(begin, begin + self.batch_size))
        found = answers(self.model, x, self._generator(part), self.data.log_volume)
        return {name: values.numpy() for name, values in found.items()}

    def _names(self, rows: range, names: list[str] | None) -> Block:
        """The columns that say which examples these are."""
        examples = np.arange(rows.start, rows.stop) if names is None else np.array(names[rows.start : rows.stop])
        label, classes = self.label[rows.start : rows.stop], self.data.class_names
        if classes is None:
            return {"example": examples}
        texts = np.array([*classes, ""])
        return {"example": examples, "label": texts[label.numpy()]}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _in_short(columns: list[str]) -> str:
    """Names of columns; of codes, the first and the last one."""
    codes = [name for name in columns if name.startswith("code_")]
    others = [name for name in columns if name not in codes]
    return ", ".join([*others, *(codes if len(codes) < 4 else [f"{codes[0]} … {codes[-1]}"])])
