"""What a run directory holds, and how its state is kept from the first second to the last.

config.yaml     the resolved config; paths.run_dir is left open, so that the directory can be moved
overrides.yaml  what was typed
status.json     running, done, stopped or failed, and why
train.log       what was logged, with the traceback of a failure
checkpoints/ metrics.csv figures/ results.json
"""

import json
import logging
import pickle
import platform
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from pmodel.callbacks.checkpoints import BestCheckpoint
from pmodel.callbacks.final import FinalNumbers
from pmodel.callbacks.frechet import FrechetDistance
from pmodel.callbacks.last import Stopped
from pmodel.callbacks.timing import Timing
from pmodel.quiet import quieten_libraries
from pmodel.reporting.results import Number, write_json, write_results
from pmodel.reporting.summary import numbers_table, paths_table, shown

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
        write_json(self.status_file, {"status": status, **kept, "updated": now, **details})

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


class Announcement(Callback):
    """Says in two lines what is about to be trained on what, once the data are loaded."""

    def __init__(self, name: str, run: RunDirectory):
        self.name, self.run = name, run

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            sizes = trainer.datamodule.split_sizes
            device = f"{trainer.world_size} × {trainer.strategy.root_device.type}"
            resumed = f", resumed in epoch {trainer.current_epoch + 1}" if trainer.ckpt_path else ""
            print(
                f"{self.name}: {pl_module.num_parameters:,} parameters, {sizes['train']:,} training and"
                f" {sizes['validation']:,} validation examples, {device}{resumed}\n{shown(self.run.path)}/",
                flush=True,
            )


def report(run: RunDirectory, name: str, trainer: Trainer) -> None:
    """Writes results.json, and shows its numbers and the paths of the run's files."""
    if trainer.is_global_zero:
        numbers = collect_numbers(trainer, trainer.datamodule.protocol())
        write_results(run.results, numbers, _context(run, trainer))
        print(f"\n{name}\n{numbers_table(numbers)}\n{paths_table(run.path, sorted(run.path.glob('figures/*.png')))}")


def checkpoint_to_resume(run: RunDirectory, trainer: dict[str, Any]) -> Path:
    """last.ckpt of a run that has something left to do; nothing is written before that is known.

    Raises:
        SystemExit: with one line, if the file is damaged or the run has done its `max_epochs` or `max_steps`.
    """
    path = run.last_checkpoint
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        steps = checkpoint["global_step"]
    except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
        reason = f"{type(error).__name__} while reading it"
        raise SystemExit(f"error: resume: {shown(path)} is no whole checkpoint of a training ({reason})") from None
    done = {"max_epochs": epochs, "max_steps": steps}
    for limit, count in done.items():
        if trainer.get(limit) is not None and 0 <= trainer[limit] <= count:
            what = limit.removeprefix("max_")
            raise SystemExit(f"error: resume: the run has done its {count} {what}; add trainer.{limit}=… for more")
    return path


def collect_numbers(trainer: Trainer, protocol: dict[str, Any]) -> list[Number]:
    """The best epoch's numbers, those of the final weights, parameters, time and throughput."""
    model = trainer.lightning_module
    by_type = {type(callback): callback for callback in trainer.callbacks}
    best: BestCheckpoint | None = by_type.get(BestCheckpoint)
    final: FinalNumbers | None = by_type.get(FinalNumbers)
    timing: Timing | None = by_type.get(Timing)
    frechet: FrechetDistance | None = by_type.get(FrechetDistance)
    numbers: list[Number] = []
    if best is not None:
        judged = "val" if any(name.startswith("val/") for name in best.best_metrics) else "train"
        for name, value in best.best_metrics.items():
            split, _, quantity = name.partition("/")
            if quantity == "change":
                continue  # of the last epoch, not of the best one: see `ending`
            # What training alone can know, such as a sum over its examples, stands beside what validation says.
            if split == judged or (split == "train" and f"{judged}/{quantity}" not in best.best_metrics):
                own = frechet.protocol() if frechet is not None and quantity == "frechet" else {}
                numbers.append(
                    {
                        "name": quantity,
                        "value": value,
                        "unit": model.units.get(quantity, ""),
                        "split": {"val": "validation"}.get(split, split),
                        "count": best.best_counts.get(name, best.best_counts[split]),
                        "protocol": {**protocol, **own},
                    }
                )
        if frechet is not None:
            numbers += frechet.numbers
        if best.best_epoch is not None:
            numbers.append({"name": "best epoch", "value": best.best_epoch, "unit": f"of {trainer.current_epoch}"})
    if final is not None:
        numbers += final.numbers
    numbers.append({"name": "parameters", "value": model.num_parameters, "unit": ""})
    if timing is not None:
        numbers.append({"name": "training time", "value": timing.seconds, "unit": "seconds"})
        numbers.append({"name": "throughput", "value": timing.examples_per_second, "unit": "examples/s"})
    return numbers


def _context(run: RunDirectory, trainer: Trainer) -> dict[str, Any]:
    """What all numbers of a results file share."""
    best = (run.path / "checkpoints" / "best.ckpt").exists()
    device = trainer.strategy.root_device
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "checkpoint": f"checkpoints/{'best' if best else 'last'}.ckpt",
        "hardware": f"{trainer.world_size} × {hardware}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("pmodel", "torch", "lightning")},
        "code": code_version(),
    }


def code_version() -> str:
    """The commit of the source tree, with `-dirty` if it was changed since; "unknown" outside of a git checkout."""
    import subprocess

    root = Path(__file__).parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return result.stdout.strip() or "unknown"


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
