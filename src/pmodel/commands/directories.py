"""Where a run, or a multirun, writes: a directory of its own, or the one with which it goes on.

Hydra calls this once a command line is composed, before anything is written. Light to import.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from pmodel.files.foreign import read_json
from pmodel.files.printable import quoted, shown
from pmodel.files.run_files import STATUS, SWEEP
from pmodel.processes.ending import WRONG_INPUT, end
from pmodel.processes.launch import Launch, is_first, launched, num_processes
from pmodel.processes.stopping import defer
from pmodel.runs.claim import Claim, InUse, reserve
from pmodel.runs.directory import made
from pmodel.runs.results import write_json
from pmodel.runs.saved import jobs_of, read_status

# Of the multirun that this process runs: kept until it ends.
_claims: list[Claim] = []


class Directories(Callback):
    """Gives each run a directory that no other has, and finds the multirun that the same command line had begun.

    - Two runs that begin in the same second get two directories.
    - All processes of a run that `torchrun` or `srun` started get the same one. That of a Slurm job is named after the
      job, so that a requeued job finds it.
    - A multirun that was cut, or of which jobs failed, is resumed when it is typed again.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        launch = launched()
        _check_processes(config, launch)
        folder = Path(config.hydra.run.dir)
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        with _one_line(config, "hydra.run.dir"):
            if not _typed(config, "hydra.run.dir"):
                folder = _own_directory(folder, launch)
                missing = [folder, *missing]
            folder.mkdir(parents=True, exist_ok=True)
        made[:] = missing
        _set(config, "run", folder)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        launch = launched()
        if launch.count > 1:
            _refuse(f"--multirun: {launch.by} started {launch.count} processes of one training; leave it out")
        typed = _typed(config, "hydra.sweep.dir")
        folder, command = Path(config.hydra.sweep.dir), _command(config)
        with _one_line(config, "hydra.sweep.dir"):
            if not typed:
                folder = _begun(folder.parent, command) or reserve(folder)
            _claims.append(Claim(folder))
            before = read_json(folder / SWEEP, shown(folder))
            if before is not None:
                if any(before.get(key) != value for key, value in command.items()):
                    _refuse(
                        f"hydra.sweep.dir={shown(folder)}: there is a multirun of other jobs in it: {before['task']}"
                    )
                begun = jobs_of(folder, STATUS)
                if found := Counter(read_status(job / STATUS, str(job)).get("status") for job in begun):
                    jobs = ", ".join(f"{count} {status}" for status, count in found.items())
                    print(f"goes on with {shown(folder)}/ (jobs: {jobs})", flush=True)
            write_json(folder / SWEEP, {"status": "running", "typed": sys.argv[1:], **command})
        _set(config, "sweep", folder)
        defer()


def multirun_at_work() -> Path | None:
    """The directory of this process's multirun, while it goes on."""
    return _claims[-1].path.parent if _claims else None


def finish_sweep(folder: Path, status: str) -> None:
    """Notes how a multirun ended: done, or failed where a job of it did."""
    found = read_json(folder / SWEEP, shown(folder))
    if found is not None:
        write_json(folder / SWEEP, found | {"status": status})
    while _claims:
        _claims.pop().release()


def _typed(config: DictConfig, key: str) -> bool:
    return any(line.lstrip("+").startswith(f"{key}=") for line in config.hydra.overrides.hydra)


def _set(config: DictConfig, mode: str, folder: Path) -> None:
    """Fixes `hydra.run.dir` or `hydra.sweep.dir`, also in what jobs are composed from anew."""
    with read_write(config), open_dict(config):
        config.hydra[mode].dir = str(folder)
        if mode == "sweep":
            lines = [line for line in config.hydra.overrides.hydra if not line.startswith("hydra.sweep.dir=")]
            config.hydra.overrides.hydra = [*lines, f"hydra.sweep.dir={quoted(str(folder))}"]


def _command(config: DictConfig) -> dict[str, Any]:
    """What makes two multiruns the same: the jobs that they consist of."""
    params = OmegaConf.to_container(config.hydra.sweeper).get("params")
    return {"task": list(config.hydra.overrides.task), "params": params}


def _begun(parent: Path, command: dict[str, Any]) -> Path | None:
    """The newest multirun of the same jobs, if it was not finished and nobody else is at it."""
    for file in sorted(parent.glob(f"*/{SWEEP}"), reverse=True):
        try:
            found = read_json(file, shown(file.parent)) or {}
        except ValueError:
            continue  # damaged, and no reason not to begin another one
        if any(found.get(key) != value for key, value in command.items()):
            continue
        if found.get("status") == "done":
            print(f"a new multirun; the same one was done in {shown(file.parent)}/", flush=True)
            return None
        try:
            Claim(file.parent).release()
        except InUse:
            continue
        return file.parent
    return None


def _check_processes(config: DictConfig, launch: Launch) -> None:
    """Compares what was started with what the trainer is to use."""
    trainer = OmegaConf.to_container(config.trainer, resolve=True)
    nodes = trainer["num_nodes"]
    if launch.by in ("torchrun", "slurm"):
        per_node = launch.count // launch.nodes
        if (num_processes(trainer), nodes) != (per_node, launch.nodes):
            _refuse(
                f"trainer.devices={trainer['devices']}, trainer.num_nodes={nodes}: {launch.by} started"
                f" {launch.count} processes; type trainer.devices={per_node} trainer.num_nodes={launch.nodes}"
            )
    elif nodes != 1:
        _refuse(
            f"trainer.num_nodes={nodes}: several machines need torchrun, or srun in a Slurm job, on each of"
            " them (docs/many_devices.md)"
        )


def _refuse(line: str) -> NoReturn:
    """Ends the command as a wrong command line does."""
    end(WRONG_INPUT, f"error: {line}")


def _own_directory(folder: Path, launch: Launch) -> Path:
    """The directory of a run for which none was typed, the same in all of its processes."""
    if launch.by == "torchrun":
        return _agreed(folder, launch)
    if launch.by == "slurm":
        # The same in the same step of the job when it is requeued.
        step = os.environ.get("SLURM_STEP_ID", "0")
        return folder.parent / (f"slurm_{os.environ['SLURM_JOB_ID']}" + ("" if step == "0" else f"_{step}"))
    return reserve(folder)


def _agreed(folder: Path, launch: Launch) -> Path:
    """The directory that the first of torchrun's processes chooses, in all of them, and again after a restart."""
    from torch.distributed import TCPStore

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # torchrun itself serves it, and keeps it over restarts.
    store = TCPStore(host, port, is_master=False)
    key = "pmodel/run_dir"
    if is_first() and not store.check([key]):
        store.set(key, str(reserve(folder).absolute()))
    return Path(store.get(key).decode())


@contextmanager
def _one_line(config: DictConfig, key: str) -> Iterator[None]:
    """Turns what the file system refuses into one line that names the setting, `key` if it was typed; and what is
    wrong with a file of the project's own, or with who else uses the folder, into that line."""
    try:
        yield
    except ValueError as error:
        _refuse(str(error))
    except OSError as error:
        typed = _typed(config, key)
        place = f"{key}={OmegaConf.select(config, key)}" if typed else f"paths.log_dir={config.paths.log_dir}"
        _refuse(f"{place}: can't be written to ({error.strerror}: {error.filename})")
