"""What a run directory holds, how its state is kept from the first second to the last, and how to open it again.

config.yaml     the resolved config; paths.run_dir is left open, so that the directory can be moved
overrides.yaml  what was typed
status.json     running, done, stopped or failed, and why
train.log       what was logged, with the traceback of a failure
checkpoints/ metrics.csv figures/ results.json
eval/           what eval.py wrote, a folder each time
"""

import hashlib
import json
import logging
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from pmodel.callbacks.last import Stopped
from pmodel.instantiate import check_target, instantiate
from pmodel.quiet import quieten_libraries
from pmodel.reporting.results import write_json
from pmodel.reporting.summary import shown
from pmodel.saved import SCHEMA, find_run, read_checkpoint, read_config, read_json

log = logging.getLogger("pmodel")


class RunDirectory:
    """The paths of a run directory, and its status."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.overrides = self.path / "overrides.yaml"
        self.status_file = self.path / "status.json"
        self.log = self.path / "train.log"
        self.results = self.path / "results.json"
        self.last_checkpoint = self.path / "checkpoints" / "last.ckpt"

    @rank_zero_only
    def write_config(self, config: DictConfig, typed: list[str]) -> None:
        """Writes config.yaml and adds what was typed to overrides.yaml."""
        self.path.mkdir(parents=True, exist_ok=True)
        resolved = OmegaConf.to_container(config, resolve=True)
        resolved = _replace_prefix(resolved, str(resolved["paths"]["run_dir"]), "${paths.run_dir}")
        resolved["paths"]["run_dir"], resolved["resume"] = "???", None
        self.config.write_text(OmegaConf.to_yaml(OmegaConf.create(resolved)), encoding="utf-8")
        before = OmegaConf.to_container(OmegaConf.load(self.overrides)) if self.overrides.exists() else []
        added = [line for line in typed if not line.startswith(("resume=", "paths.run_dir="))]
        self.overrides.write_text(OmegaConf.to_yaml(OmegaConf.create([*before, *added])), encoding="utf-8")

    @rank_zero_only
    def set_status(self, status: str, **details: Any) -> None:
        """Writes status.json: the status, `details` such as a reason, and since when."""
        before = json.loads(self.status_file.read_text(encoding="utf-8")) if self.status_file.exists() else {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept = {"started": before.get("started", now)}
        if "warnings" in before:
            kept["warnings"] = before["warnings"]
        write_json(self.status_file, {"schema": SCHEMA, "status": status, **kept, "updated": now, **details})

    @rank_zero_only
    def add_warning(self, message: str) -> None:
        """Adds a line to the warnings of status.json."""
        content = json.loads(self.status_file.read_text(encoding="utf-8"))
        write_json(self.status_file, {**content, "warnings": [*content.get("warnings", []), message]})


class Warnings(logging.Handler):
    """Shows the project's own warnings, and keeps them in status.json."""

    def __init__(self, run: RunDirectory):
        super().__init__(logging.WARNING)
        self.run = run

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno != logging.WARNING:
            return  # a failure has a line of its own
        tqdm.write(f"warning: {record.getMessage()}", file=sys.stderr)  # above a progress bar
        self.run.add_warning(record.getMessage())


def _replace_prefix(node: Any, prefix: str, by: str) -> Any:
    """Replaces the folder `prefix` at the start of every path in nested dicts and lists."""
    if isinstance(node, dict):
        return {key: _replace_prefix(value, prefix, by) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace_prefix(value, prefix, by) for value in node]
    if isinstance(node, str) and (node == prefix or node.startswith(prefix + "/")):
        return by + node[len(prefix) :]
    return node


def checkpoint_to_resume(run: RunDirectory, trainer: dict[str, Any]) -> Path:
    """last.ckpt of a run that has something left to do; nothing is written before that is known.

    Raises:
        SystemExit: with one line, if the file is damaged or the run has done its `max_epochs` or `max_steps`.
    """
    path = run.last_checkpoint
    try:
        checkpoint = read_checkpoint(path, "resume")
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    try:
        epochs, steps = epochs_trained(checkpoint), checkpoint["global_step"]
    except (KeyError, TypeError):
        raise SystemExit(f"error: resume: {shown(path)} is no whole checkpoint of a training") from None
    done = {"max_epochs": epochs, "max_steps": steps}
    for limit, count in done.items():
        if trainer.get(limit) is not None and 0 <= trainer[limit] <= count:
            what = limit.removeprefix("max_")
            raise SystemExit(f"error: resume: the run has done its {count} {what}; add trainer.{limit}=… for more")
    return path


@contextmanager
def recorded(run: RunDirectory) -> Iterator[None]:
    """Keeps train.log and status.json while a run is on, and turns its end into one line and an exit code.

    Raises:
        SystemExit: with code 1 after a failure, 130 after Ctrl-C and 143 after SIGTERM; status.json says why.
    """
    handler = logging.FileHandler(run.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    quieten_libraries()
    run.set_status("running")
    warnings = Warnings(run)
    log.addHandler(warnings)
    log.info("started")
    code = 1
    try:
        yield
        code = 0
        run.set_status("done")
        log.info("done")
    except (Stopped, KeyboardInterrupt, SystemExit) as end:
        # Lightning turns a KeyboardInterrupt into SystemExit(1).
        if isinstance(end, SystemExit) and not isinstance(end.__context__, KeyboardInterrupt):
            run.set_status("failed", reason=f"exit code {end.code}")
            raise
        number = end.signal_number if isinstance(end, Stopped) else signal.SIGINT
        # Lightning leaves it ignored after a KeyboardInterrupt.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code, reason = 128 + number, f"stopped by {signal.Signals(number).name}"
        run.set_status("stopped", reason=reason)
        log.info(reason)
        hint = f"; go on with: uv run train.py resume={shown(run.path)}" if run.last_checkpoint.exists() else ""
        print(f"\n{reason}{hint}", file=sys.stderr)
        raise SystemExit(code) from None
    except Exception as error:
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        run.set_status("failed", reason=f"{type(error).__name__}: {first_line}")
        log.exception("failed")
        # These are about what the user gave; anything else may be a defect, whose traceback should be seen.
        if not isinstance(error, ValueError | MisconfigurationException):
            traceback.print_exc()
        message = f"error: {first_line} (traceback in {shown(run.log)})"
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            # An exception lets the sweep go on; Hydra repeats the first one's line at the end, with exit code 1.
            print(message, file=sys.stderr)
            raise CompactHydraException(f"a job failed: {first_line} ({shown(run.path)})") from None
        raise SystemExit(message) from None
    finally:
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish(exit_code=code)
        log.removeHandler(warnings)
        root.removeHandler(handler)
        handler.close()


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
    """

    folder: Path
    checkpoint: Path
    sha256: str
    config: dict[str, Any]
    model: LightningModule
    data: LightningDataModule
    epochs: int
    state: dict[str, Any]

    def __repr__(self) -> str:
        return f"Run({shown(self.folder)}, {type(self.model).__name__}, {self.checkpoint.name}, {self.epochs} epochs)"

    @cached_property
    def results(self) -> dict[str, Any] | None:
        """What the newest evaluation of this run alone wrote, else its training; None if it has not come so far.

        Its "numbers" are a list; see docs/evaluation.md.
        """
        newest = max(self.folder.glob("eval/*/results.json"), key=lambda file: file.stat().st_mtime_ns, default=None)
        found = read_json(newest or self.folder / "results.json", f"run={shown(self.folder)}")
        if found is None or "runs" not in found:
            return found
        return {key: value for key, value in found.items() if key != "runs"} | found["runs"][0]


def open_run(
    path: str | Path,
    data_dir: str | Path | None = None,
    data_path: str | Path | None = None,
    place: str | None = None,
) -> Run:
    """Opens a finished run, on any machine: `open_run("logs/train/…").model.sample(16)`.

    Args:
        path: a run directory, whose best.ckpt is taken, or last.ckpt if there is none; or a checkpoint in one.
        data_dir: where downloaded data lie now; None: where the run found them.
        data_path: likewise of a folder of pictures, or of a file of points.
        place: what messages call the path.

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
    # Layers draw initial weights from the global state, which is the caller's.
    with torch.random.fork_rng(devices=[]):
        try:
            check_target(target, ("pmodel.models.",))
            model = instantiate({**content["hyper_parameters"], "_target_": target})
            model.load_state_dict(content["state_dict"])
            epochs = epochs_trained(content)
        except (RuntimeError, TypeError, KeyError, ValueError, AttributeError, ImportError) as error:
            raise ValueError(f"{place}: {shown(found.checkpoint)} does not fit {target}: {_reason(error)}") from None
    try:
        check_target(config["data"]["_target_"], ("pmodel.data.",))
        data = instantiate(config["data"])
    except (TypeError, AttributeError, ImportError) as error:
        raise ValueError(f"{place}: the data in its config.yaml don't fit this version: {_reason(error)}") from None
    sha256 = hashlib.sha256(read).hexdigest()[:12]
    state = content.get("callbacks", {})
    return Run(found.folder, found.checkpoint, sha256, config, model.eval(), data, epochs, state)


def _reason(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


def epochs_trained(checkpoint: dict[str, Any]) -> int:
    """How many whole epochs a checkpoint's weights were trained."""
    return checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
