"""Which run may write in a run directory, and what of it is left to do. Light to import."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pmodel.files.atomic import NotWritten, write_atomically
from pmodel.files.foreign import read_yaml
from pmodel.files.printable import shown
from pmodel.files.run_files import BEST, CONFIG, LAST, OVERRIDES, RESULTS, SCHEMA, STATUS
from pmodel.processes.ending import WRONG_INPUT, end_job, in_multirun
from pmodel.processes.launch import is_first, launched
from pmodel.runs.claim import Claim, InUse
from pmodel.runs.results import write_json
from pmodel.runs.saved import ENDED, read_overrides, read_status, resume_command, without_folder
from pmodel.runs.typed import only_typed, to_type
from pmodel.runs.zoo import copy_run, in_zoo


class Start(NamedTuple):
    """How a run begins.

    resume_from: the checkpoint with which it goes on; None: from the beginning
    ended: its status, if there is nothing left to do
    threads: with how many it computed so far, which decides last digits; None: it has not begun
    """

    resume_from: Path | None = None
    ended: dict[str, Any] | None = None
    threads: int | None = None


class WrongInput(ValueError):  # noqa: N818  (nothing is wrong in here)
    """What the user gave is wrong, which is said in one line before a training begins: nothing is left of the run."""


class RunDirectory:
    """A run directory that this process uses, the paths in it, and its status."""

    def __init__(self, path: str | Path):
        self.path, rank = Path(path), launched().rank
        self.config, self.overrides, self.results = (self.path / name for name in (CONFIG, OVERRIDES, RESULTS))
        self.best_checkpoint, self.last_checkpoint = (self.path / "checkpoints" / name for name in (BEST, LAST))
        self.status_file = self.status_of(rank)
        self.log = self.path / ("train.log" if rank == 0 else f"train_{rank}.log")
        self._to_type: list[str] = []  # for it to go on
        self.has_trained = False  # by this process: what is wrong with the input was said before that

    def status_of(self, rank: int) -> Path:
        """Where a process keeps its status."""
        return self.path / (STATUS if rank == 0 else f"status_{rank}.json")

    @contextlib.contextmanager
    def begun(self, config: DictConfig, typed: list[str], resume: str | None, again: bool) -> Iterator[Start]:
        """Takes the directory for this process, says how the run in it begins, and writes config.yaml where it does.

        Args:
            typed: what was typed for this run
            resume: the run directory or the checkpoint that was named to go on with, if one was
            again: whether a run that is there already is resumed without being named, as a multirun's jobs are

        Raises:
            SystemExit, or in a multirun, which goes on, CompactHydraException: with one line, if another process uses
                the directory, or if there is a run in it with which this one can't go on; nothing is written then, and
                nothing is left where the work on it ends so, or by `WrongInput`.
        """
        self._to_type = to_type(config.get("data_dir"))
        if not is_first():
            yield self._begun_by_first(resume, again)
            return
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            claim = Claim(self.path)
        except InUse as error:
            end_job(str(error))
        before = self._content()
        try:
            try:
                start = self._begin(config, resume, again)
                if start.ended is None:
                    self._write_config(config, typed)
            except ValueError as error:
                end_job(str(error), WRONG_INPUT)
            yield start
        except (SystemExit, WrongInput) as end:
            if getattr(end, "code", WRONG_INPUT) == WRONG_INPUT:
                self._restore(before)
            raise
        finally:
            claim.release()
            for path in (*missing, *made):
                with contextlib.suppress(OSError):  # it isn't empty
                    path.rmdir()

    def _content(self) -> dict[Path, bytes | None]:
        """What lies here, of a run's small files with what is in them."""
        small = (self.config, self.overrides, self.status_file)
        return {path: path.read_bytes() if path in small else None for path in self.path.iterdir()}

    def _restore(self, before: dict[Path, bytes | None]) -> None:
        """Takes away what was written since, as if the command had not been typed."""
        for path in self.path.iterdir():
            if path in before or path.name == Claim.NAME:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for path, content in before.items():
            if content is not None:
                write_atomically(path, content)

    def _begun_by_first(self, resume: str | None, again: bool) -> Start:
        """What the first process finds too: until all have begun, it writes no checkpoint."""
        status = read_status(self.status_of(0), shown(self.path))
        if resume is None and again and status.get("status") in ENDED:
            return Start(ended=status)
        checkpoint = self._checkpoint(resume)
        goes_on = (resume is not None or again) and checkpoint.is_file()
        return Start(checkpoint if goes_on else None, threads=status.get("threads"))

    def _checkpoint(self, resume: str | None) -> Path:
        return Path(resume) if resume is not None and Path(resume).is_file() else self.last_checkpoint

    def _begin(self, config: DictConfig, resume: str | None, again: bool) -> Start:
        if resume is not None and in_zoo(resume):
            copy_run(Path(resume), self.path)
        status = read_status(self.status_file, shown(self.path))
        if resume is None:
            if not status:
                return Start()
            if not again:
                raise ValueError(
                    f"hydra.run.dir={shown(self.path)}: there is a run in it ({status.get('status')});"
                    f" {resume_command(shown(self.path), *self._to_type)} goes on with it"
                )
            if self.config.is_file() and read_yaml(self.config) != self._portable(config):
                anew = "hydra.sweep.dir" if in_multirun() else "hydra.run.dir"
                raise ValueError(f"{shown(self.path)}: its settings have changed since it began; {anew}=… begins anew")
            if status.get("status") in ENDED:
                return Start(ended=status)
        checkpoint = self._checkpoint(resume)
        if not checkpoint.is_file():
            self._check_without_last(status)
            return Start(threads=status.get("threads"))  # it was cut before it had one
        # Heavy to import, and needed before anything is written.
        from pmodel.runs.opening import check_checkpoint

        settings = OmegaConf.to_container(config, resolve=True)
        check_checkpoint(self.path, checkpoint, settings, done=status.get("status") in ENDED)
        if checkpoint.resolve() != self.last_checkpoint.resolve():
            # A run that was resumed from an older checkpoint is itself resumed, where it is cut.
            write_atomically(self.last_checkpoint, checkpoint.read_bytes())
        return Start(self.last_checkpoint, threads=status.get("threads"))

    def _check_without_last(self, status: dict[str, Any]) -> None:
        """Refuses to begin again where that would write over what a run has left.

        Raises:
            ValueError: of one line, which names the newest whole checkpoint if there is one.
        """
        last = self.last_checkpoint
        if os.path.lexists(last) or any(last.parent.glob("*.ckpt")):
            from pmodel.runs.opening import newest_whole

            what = "is no file" if os.path.lexists(last) else "is missing"
            raise ValueError(f"resume: {shown(last)} {what}{newest_whole(last)}")
        if status.get("status") in ENDED:
            raise ValueError(f"resume: that run is {status['status']}, but {shown(last)} is missing; there is no other")

    def _portable(self, config: DictConfig) -> dict[str, Any]:
        """The settings as plain values, with this directory's path left open."""
        resolved = OmegaConf.to_container(config, resolve=True)
        resolved = without_folder(resolved, str(resolved["paths"]["run_dir"]))
        resolved["paths"]["run_dir"], resolved["resume"] = "???", None
        return resolved

    def _write_config(self, config: DictConfig, typed: list[str]) -> None:
        """Writes config.yaml and adds what was typed to overrides.yaml."""
        before = read_overrides(self.path, shown(self.path))
        added = [line for line in typed if not line.startswith(("resume=", "paths.run_dir="))]
        # A multirun that goes on types the same once more.
        added = [] if before[-len(added) :] == added else added
        for file, content in ((self.config, self._portable(config)), (self.overrides, [*before, *added])):
            write_atomically(file, OmegaConf.to_yaml(OmegaConf.create(content)).encode())

    @property
    def how_to_go_on(self) -> str:
        """The end of a line about a run that was cut: what to type, if it has a checkpoint."""
        if in_multirun():
            return f"; go on with: {resume_command(shown(HydraConfig.get().sweep.dir), *only_typed(sys.argv[1:]))}"
        there = self.last_checkpoint.exists()
        return f"; go on with: {resume_command(shown(self.path), *self._to_type)}" if there else ""

    def note_death(self, line: str) -> None:
        """Says, when a run has to be ended by force, that another of its processes died."""
        with contextlib.suppress(NotWritten):
            self.set_status("failed", reason=line)
        print(f"error: {line}{self.how_to_go_on}", file=sys.stderr, flush=True)

    def set_status(self, status: str, **details: Any) -> None:
        """Writes status.json: the status, `details` such as a reason, and since when.

        What was said once stays: since when, the number of threads, warnings.
        """
        before = read_status(self.status_file, shown(self.path))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept = {"started": before.get("started", now)}
        kept |= {key: before[key] for key in ("warnings", "threads") if key in before}
        write_json(self.status_file, {"schema": SCHEMA, "status": status, **kept, "updated": now, **details})

    def add_warning(self, message: str) -> None:
        """Adds a line to the warnings of status.json."""
        content = read_status(self.status_file, shown(self.path))
        write_json(self.status_file, {**content, "warnings": [*content.get("warnings", []), message]})


# Folders that this process made for its run, the deepest first.
made: list[Path] = []
