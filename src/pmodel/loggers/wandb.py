"""W&B: one run for each training, kept offline where there is no account or no answer, and never the end of one."""

import argparse
import functools
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger, Logger
from omegaconf import OmegaConf

from pmodel.files.printable import first_line
from pmodel.loggers.wandb_start import start
from pmodel.processes.ending import in_multirun
from pmodel.processes.launch import first_only, is_first
from pmodel.runs.provenance import provenance
from pmodel.runs.saved import read_overrides, without_folder
from pmodel.settings.ranges import Positive

log = logging.getLogger("pmodel")

STEP = "trainer/global_step"  # the name that Lightning gives it
LONGEST_TAG = 64  # W&B refuses longer ones


def guarded(method: Callable[..., None]) -> Callable[..., None]:
    """A method of a logger that only the first process calls, and whose failure is a warning, once, and no more."""

    @functools.wraps(method)
    def call(self: "WandbLogger", *args: Any, **kwargs: Any) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # whatever W&B has, the training goes on
            self._warn_of(error)

    return first_only(call)


class WandbLogger(Logger):
    """W&B under an id kept in the run directory, so that a resumed run goes on as the same W&B run.

    Besides what is logged, with `trainer/global_step` as x-axis:

    - config: all settings, num_parameters, world_size, and the code, versions and hardware
    - best/…: after each epoch the numbers of the best checkpoint so far; final/…: what the best weights are worth
    - of val/…: in the summary its min, max and last, of its monitor the best and last

    Args:
        save_dir: the run directory.
        entity: the user or the team; None: the account's default.
        name: None: the last two folders of the run directory.
        group, tags: None: of a multirun's job, the multirun's directory and the settings in which the job differs.
        offline: never talk to W&B; without an account or an answer a run is offline anyway.
        log_model: at the end of training, keep as artifacts: "best": best.ckpt; True: that and last.ckpt.
        init_timeout, finish_timeout: seconds to wait for W&B at the start, and for what is still to be sent at the end.
    """

    def __init__(
        self,
        save_dir: str,
        project: str,
        entity: str | None,
        name: str | None,
        group: str | None,
        tags: list[str] | None,
        offline: bool,
        log_model: bool | Literal["best"],
        init_timeout: Positive,
        finish_timeout: Positive,
    ):
        super().__init__()
        self.folder, self.offline, self.log_model = Path(save_dir), offline, log_model
        self.settings = {"init_timeout": init_timeout, "finish_timeout": finish_timeout, "finish_timeout_raises": True}
        self.about = {"project": project, "entity": entity, "name": name, "group": group, "tags": tags}
        self.failed = False
        self._run: Any = None
        self._trainer: Trainer | None = None
        self._configured = False
        self._summarized: set[str] = set()
        self._numbers: dict[str, dict[str, float]] = {}
        self._checkpoints: dict[str, tuple[str, dict[str, Any]]] = {}

    @property
    def name(self) -> str:
        return self.about["project"]

    @property
    def version(self) -> str | None:
        """The run's id; None before there is one."""
        file = self.folder / "wandb_id"
        return (file.read_text(encoding="utf-8").strip() or None) if file.exists() else None

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def experiment(self) -> Any:
        """The W&B run, `wandb.Run`, of the first process; of any other something that does nothing."""
        if not is_first():
            return DummyLogger().experiment
        if self._run is None:
            try:
                self._run = start(self.folder, self._identified(), self.offline, self.settings)
                self._run.define_metric(STEP)
                self._run.define_metric("*", step_metric=STEP, step_sync=True)
            except Exception as error:  # a variable of W&B's that it can't read, for example
                self._warn_of(error)
                self._run = DummyLogger().experiment
        return self._run

    def _warn_of(self, error: Exception) -> None:
        if not self.failed:
            self.failed = True
            log.warning("W&B has failed, and the training goes on: %s", first_line(error))

    def _identified(self) -> dict[str, Any]:
        """What W&B calls the run, and where it puts it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.version is None:
            # An agent of a sweep has announced its runs by their ids.
            given = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
            (self.folder / "wandb_id").write_text(f"{given or secrets.token_hex(4)}\n", encoding="utf-8")
        about = {**self.about, "id": self.version}
        about["name"] = about["name"] or "/".join(self.folder.absolute().parts[-2:])
        multirun = multirun_of(self.folder)
        if multirun is not None:
            about["group"] = about["group"] or multirun.name
            about["tags"] = differing_settings(self.folder, multirun) if about["tags"] is None else about["tags"]
        return about

    @guarded
    def log_hyperparams(self, params: dict[str, Any] | argparse.Namespace, *args: Any, **kwargs: Any) -> None:
        """Keeps all settings, those that are paths in the run directory as config.yaml has them."""
        # Lightning then passes those of the model once more.
        if not self._configured:
            self._configured = True
            plain = vars(params) if isinstance(params, argparse.Namespace) else dict(params)
            config = without_folder(plain, str(self.folder.absolute()), str(self.folder))
            if "paths" in config:
                config["paths"]["run_dir"] = "???"
            self.experiment.config.update(config, allow_val_change=True)

    @guarded
    def log_graph(self, model: LightningModule, *args: Any) -> None:
        """Keeps what is known of the model and the machine when training is about to start."""
        self._trainer = trainer = model.trainer
        known = {"num_parameters": model.num_parameters, "world_size": trainer.world_size}
        known |= provenance(trainer.strategy.root_device, trainer.world_size)
        self.experiment.config.update(known, allow_val_change=True)

    @guarded
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = dict(metrics)
        for name in metrics:
            if name.startswith("val/") and name not in self._summarized:
                # One by one: W&B gives a whole group, val/*, no summaries but the last.
                self._summarized.add(name)
                self.experiment.define_metric(name, step_metric=STEP, step_sync=True, summary=self._summary(name))
        if any(name.startswith("train/") for name in metrics):
            # An epoch is over, and its checkpoints are written.
            row |= self._numbers.get("best", {})
        # Never by W&B's own `step`, which drops what comes late.
        self.experiment.log(row if step is None else {**row, STEP: step})

    def _summary(self, name: str) -> str:
        """What the summary keeps of a number: of the monitor its best, of others both ends."""
        model = self._trainer.lightning_module if self._trainer else None
        return f"{model.monitor_mode if model is not None and model.monitor == name else 'min,max'},last"

    def keep_numbers(self, group: str, numbers: Mapping[str, float]) -> None:
        """Numbers of the whole run, for its summary, as `group/name`; those of `best` stand in each epoch's row too."""
        self._numbers[group] = {f"{group}/{name}": value for name, value in numbers.items()}

    def keep_checkpoint(self, name: str, path: str | Path, about: Mapping[str, Any]) -> None:
        """A checkpoint that becomes an artifact when training ends, if `log_model` asks for it."""
        self._checkpoints[name] = (str(path), dict(about))

    @guarded
    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Shows images (height, width, 3), uint8, under one name."""
        import wandb

        shown_images = {key: [wandb.Image(image) for image in images]}
        self.experiment.log(shown_images if step is None else {**shown_images, STEP: step})

    @guarded
    def finalize(self, status: str) -> None:
        """Of a training that came to its end: its final numbers, and the checkpoints that `log_model` asks for."""
        # A run that was stopped has little time left, and will be resumed.
        if status != "success" or self._run is None:
            return
        import wandb

        self.experiment.summary.update({k: v for numbers in self._numbers.values() for k, v in numbers.items()})
        for name, (path, about) in self._checkpoints.items():
            if (self.log_model is True or self.log_model == name) and Path(path).exists():
                # A new version of this run's artifact, each time that training ends.
                artifact = wandb.Artifact(f"{name}-{self.version}", type="model", metadata=about)
                artifact.add_file(path)
                self.experiment.log_artifact(artifact, aliases=["latest"])


def multirun_of(folder: Path) -> Path | None:
    """The directory of the multirun of which a run is, or was, a job."""
    if in_multirun():
        return Path(HydraConfig.get().sweep.dir).absolute()
    # A job that is resumed, or has a process of its own.
    return next((path for path in folder.absolute().parents[:3] if (path / "multirun.yaml").exists()), None)


def differing_settings(folder: Path, multirun: Path) -> list[str]:
    """What was typed for one job of a multirun and not for all, as short texts."""
    shared = multirun / "multirun.yaml"
    common = OmegaConf.select(OmegaConf.load(shared), "hydra.overrides.task") if shared.exists() else []
    parse = OverridesParser.create().parse_overrides
    # Hydra writes a job's values its own way: true, which was typed, as True.
    for_all = {(o.key_or_group, str(o.value())) for o in parse(list(common)) if not o.is_sweep_override()}
    lines = [o.input_line for o in parse(read_overrides(folder, "")) if (o.key_or_group, str(o.value())) not in for_all]
    return list(dict.fromkeys(line[:LONGEST_TAG] for line in lines))
