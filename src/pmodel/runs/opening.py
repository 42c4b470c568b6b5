"""Opens runs that were saved: to ask their models, or to go on with them."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule

from pmodel.data.arrays import Arrays, Examples
from pmodel.data.images import SHARDS
from pmodel.files.foreign import read_json
from pmodel.files.printable import first_line, shown
from pmodel.files.run_files import RESULTS
from pmodel.instantiate import check_trusted, instantiate, targets, trusted_class
from pmodel.runs.saved import find_run, read_checkpoint, read_config
from pmodel.runs.typed import project_data_dir, to_type
from pmodel.settings.checked import check_given

# What a checkpoint holds for a training to go on, besides what a model needs.
OF_A_TRAINING = {"loops": dict, "callbacks": dict, "optimizer_states": list, "lr_schedulers": list, "global_step": int}


def check_checkpoint(folder: Path, path: Path, settings: dict[str, Any], done: bool) -> None:
    """Refuses a checkpoint with which the run in a folder can't go on.

    settings: of the run, its model and its trainer

    Raises:
        ValueError: of one line, if the file is damaged (it then names the newest whole one), is of another model, or
            holds weights alone, or if the run is done and has trained for its `max_epochs` or `max_steps`.
    """
    trainer = settings["trainer"]
    try:
        checkpoint = read_checkpoint(path, f"resume={shown(folder)}")
        steps = checkpoint["global_step"]
        missing = [key for key, kind in OF_A_TRAINING.items() if not isinstance(checkpoint.get(key), kind)]
        if missing or (settings["model"].get("optimizer") and not checkpoint["optimizer_states"]):
            raise KeyError(missing[0] if missing else "optimizer_states")
        epochs = epochs_trained(checkpoint)
    except ValueError as error:
        raise ValueError(f"{error}{newest_whole(path)}") from None
    except (KeyError, TypeError) as error:
        what = f" (it has no {error.args[0]})" if isinstance(error, KeyError) else ""
        raise ValueError(
            f"resume: {shown(path)} is no whole checkpoint of a training{what}{newest_whole(path)}"
        ) from None
    for limit, count in {"max_epochs": epochs, "max_steps": steps}.items():
        if done and trainer.get(limit) is not None and 0 <= trainer[limit] <= count:
            what = limit.removeprefix("max_")
            raise ValueError(f"resume: the run has done its {count} {what}; add trainer.{limit}=… for more")


def newest_whole(damaged: Path) -> str:
    """The end of a line about a checkpoint: what to type instead, the newest one beside it that is whole."""
    others = {*damaged.parent.glob("*.ckpt")} - {damaged}
    for path in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            epochs = epochs_trained(read_checkpoint(path, ""))
        except (ValueError, KeyError, TypeError):
            continue
        return f"; the newest whole one has {epochs} epochs: resume={shown(path)}"
    return "; there is no other"


def with_kept_parts(model: dict[str, Any], resume_from: Path | None) -> dict[str, Any]:
    """The settings of a model, and of a resumed one the parts that it took from other runs, as its checkpoint keeps
    them: those runs may be gone."""
    taken = [key for key, value in model.items() if isinstance(value, dict) and "run" in value]
    if resume_from is None or not taken:
        return model
    kept = read_checkpoint(resume_from, f"resume={shown(resume_from)}")["hyper_parameters"]
    return model | {key: kept[key] for key in taken if key in kept}


@dataclass(frozen=True, repr=False)
class Run:
    """A run that was opened.

    folder, checkpoint: its directory, and the file that the weights are from
    sha256: the first 12 hexadecimal digits of that file's hash
    config: all its settings, as plain values
    model: with these weights, in eval mode, on the CPU
    data: its data module; a split is read when it is first asked for
    epochs: how many epochs the weights were trained
    state: what callbacks kept in the checkpoint, by their names
    answer: the settings with which the model answers otherwise than it was trained
    """

    folder: Path
    checkpoint: Path
    sha256: str
    config: dict[str, Any]
    model: LightningModule
    data: LightningDataModule
    epochs: int
    state: dict[str, Any]
    answer: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Run({shown(self.folder)}, {type(self.model).__name__}, {self.checkpoint.name}, {self.epochs} epochs)"

    def answering(self, **settings: Any) -> "Run":
        """The run with a model that answers with other values of settings that it names in `answer_settings`, such as
        a number of sampling steps: `run.answering(num_steps=50).model.sample(16)`.

        Raises:
            ValueError: of one line, if the model does not name a setting, or its constructor does not take the value.
        """
        cls = type(self.model)
        known = getattr(cls, "answer_settings", ())
        for key, value in settings.items():
            if key not in known:
                has = f"only {', '.join(known)}" if known else "no such setting"
                raise ValueError(f"answer.{key}={value}: {cls.__name__} has {has} to answer with")
        check_given(cls, "answer", settings)
        with torch.random.fork_rng(devices=[]):
            model = cls(**{**self.model.hparams, **settings})
        model.load_state_dict(self.model.state_dict())
        return replace(self, model=model.eval(), answer=settings)

    @cached_property
    def results(self) -> dict[str, Any] | None:
        """What the newest evaluation of this run alone wrote, else its training; None if it has not come so far.

        Its "numbers" are a list; see docs/evaluation.md.
        """
        newest = max(self.folder.glob(f"eval/*/{RESULTS}"), key=lambda file: file.stat().st_mtime_ns, default=None)
        found = read_json(newest or self.folder / RESULTS, f"run={shown(self.folder)}")
        if found is None or "runs" not in found:
            return found
        return {key: value for key, value in found.items() if key != "runs"} | found["runs"][0]


def open_run(
    path: str | Path,
    data_dir: str | Path | None = None,
    data_path: str | Path | None = None,
    place: str | None = None,
    model: type[LightningModule] | LightningModule | None = None,
    data: LightningDataModule | Examples | None = None,
) -> Run:
    """Opens a finished run, on any machine: `open_run("logs/train/…").model.sample(16)`.

    Args:
        path: a run directory, whose best.ckpt is taken, or last.ckpt if there is none; or a checkpoint in one.
        data_dir: where downloaded data lie now; None: where the run found them. Nothing is downloaded to there, unless
            it is this project's own.
        data_path: likewise of a folder of images, or of a table.
        place: what messages call the path.
        model: the class of the run's model, for one that is no part of pmodel; or a model that gets the weights. None:
            that of the run.
        data: the examples that were handed over for the training, or a data module that has them. None: what the run's
            own data module finds.

    Raises:
        ValueError: of one line, if there is no such run, or its files are damaged, foreign or carry code, of which
            none is run.
    """
    place = place or f"run={path}"
    found = find_run(path, place)
    config = read_config(found.folder, place)
    if data_dir is not None:
        config["data_dir"] = str(data_dir)
    for key, value in {"data_dir": data_dir, "path": data_path}.items():
        if value is not None and key in config["data"]:
            config["data"][key] = str(value)
    read = found.checkpoint.read_bytes()
    content = read_checkpoint(found.checkpoint, place, read)
    target = config["model"]["_target_"]
    if model is None:
        for name in (target, *targets(content["hyper_parameters"])):
            check_trusted(name, place)
    # Layers draw initial weights from the global state, which is the caller's.
    with torch.random.fork_rng(devices=[]):
        try:
            if model is None:
                trusted_class(target, LightningModule)
                model = instantiate({**content["hyper_parameters"], "_target_": target})
            elif isinstance(model, type):
                model = model(**content["hyper_parameters"])
            model.load_state_dict(content["state_dict"])
            epochs = epochs_trained(content)
        except (RuntimeError, TypeError, KeyError, ValueError, AttributeError, ImportError) as error:
            raise ValueError(f"{place}: {shown(found.checkpoint)} does not fit {target}: {first_line(error)}") from None
    if not isinstance(data, LightningDataModule):
        data = _data_of(config, content, data, place)
    if data_dir is None and to_type(config["data"].get("data_dir")):
        # A run names no place to write to.
        data.download, data.shards_dir = False, Path(project_data_dir(), SHARDS)
    sha256 = hashlib.sha256(read).hexdigest()[:12]
    state = content.get("callbacks", {})
    return Run(found.folder, found.checkpoint, sha256, config, model.eval(), data, epochs, state)


def _data_of(config: dict[str, Any], checkpoint: dict[str, Any], examples: Examples | None, place: str) -> Any:
    """The data module of a run, with the examples that are handed over."""
    try:
        trusted_class(config["data"]["_target_"], LightningDataModule)
        data = instantiate(config["data"])
        data.keep_units(checkpoint.get(type(data).__qualname__, {}).get("units", {}))
    except (TypeError, AttributeError, ImportError, KeyError) as error:
        raise ValueError(f"{place}: the data in its config.yaml don't fit this version: {first_line(error)}") from None
    if examples is not None:
        if not isinstance(data, Arrays):
            raise ValueError(f"{place}: data: expected none, since the run finds its own, {data.source}")
        data.hold(examples)
    return data


def epochs_trained(checkpoint: dict[str, Any]) -> int:
    """How many whole epochs a checkpoint's weights were trained."""
    return checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
