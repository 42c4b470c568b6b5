"""A sweeper that searches with Optuna; `pmodel.search` does the work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from pmodel.settings.ranges import Count, Whole

# What may differ when a search goes on: it changes no trial's value.
SHOWN_ONLY = ("callbacks.", "callbacks", "logger", "logger.", "resume", "data_dir", "trainer.enable_progress_bar")


@dataclass
class OptunaSweeper(Sweeper):
    """Launches trials until there are `n_trials`, each with settings that promise more than the ones before.

    A trial is a job under its own number, and its value is what `main` returns. A search that is started again in its
    directory goes on: trials that ended count, those that were cut are launched again, and resume.

    n_trials: how many in all, with those that are pruned or fail
    n_jobs: how many are launched at the same time; null: as many as the launcher runs side by side
    direction: null: the model's `monitor_mode` decides
    sampler: tpe or random
    num_startup_trials: of tpe: so many are random
    seed: of the settings that are drawn
    params: the space, by key, in Hydra's words; what is typed on the command line replaces it
    """

    n_trials: Count
    n_jobs: Count | None = None
    direction: Literal["minimize", "maximize"] | None = None
    sampler: Literal["tpe", "random"] = "tpe"
    num_startup_trials: Count = 10
    seed: Whole = 1
    params: dict[str, Any] | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        from pmodel.callbacks.search_journal import Search
        from pmodel.config.search_space import fixed_settings, search_space

        lines = [*(f"{key}={values}" for key, values in (self.params or {}).items()), *arguments]
        overrides = OverridesParser.create(config_loader=self.hydra_context.config_loader).parse_overrides(lines)
        space, fixed = search_space(overrides), fixed_settings(overrides)
        first = [*_typed(fixed), *_typed({key: dimension.probes()[0] for key, dimension in space.items()})]
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        conditions = {key: value for key, value in fixed.items() if not key.startswith(SHOWN_ONLY)}
        try:
            search = Search(
                folder,
                space,
                self.direction or self._models_direction(first),
                self.seed,
                self.sampler,
                self.num_startup_trials,
                conditions,
            )
        except ValueError as error:
            raise CompactHydraException(str(error)) from None
        num_jobs = self.n_jobs or self._num_jobs(first)
        returns = []
        while numbers := search.next_trials(num_jobs, self.n_trials):
            for consecutive in _consecutive(numbers):
                batch = [[*_typed(fixed), *_typed(search.settings(number))] for number in consecutive]
                jobs = self.launcher.launch(batch, initial_job_idx=consecutive[0])
                for number, job in zip(consecutive, jobs, strict=True):
                    value, status = _outcome(job)
                    search.tell(number, value, pruned=status == "pruned")
                    outcome = f"{value:.6g}" if value is not None else status
                    print(f"trial     {number}: {outcome} ({number + 1} of {self.n_trials})", flush=True)
                for job in jobs:
                    _ = job.return_value  # raises what kept a job from running at all
                returns.append(jobs)
        self._report(search, folder)
        return returns

    def _models_direction(self, overrides: list[str]) -> str:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        return {"min": "minimize", "max": "maximize"}[get_class(config.model._target_).monitor_mode]

    def _num_jobs(self, overrides: list[str]) -> int:
        from hydra_plugins.pmodel.launchers import JoblibLauncher

        return self.launcher.places(overrides)[0] if isinstance(self.launcher, JoblibLauncher) else 1

    def _report(self, search: Any, folder: Path) -> None:
        from PIL import Image

        from pmodel.files.printable import shown
        from pmodel.plots.sweeps import importances, search_history

        done, pruned, num_failed = search.outcomes()
        image = folder / "search.png"
        Image.fromarray(search_history(done, pruned, search.minimizes)).save(image)
        counts = f"{len(done)} trials to their end, {len(pruned)} pruned, {num_failed} failed"
        print(f"search    {counts}: {shown(image)}")
        if shares := search.importances():
            Image.fromarray(importances(shares, len(done))).save(image := folder / "importances.png")
            print(f"settings  {shown(image)}: what explains the differences between trials")
        best = search.best()
        if best is None:
            print("best      none")
            return
        where = next(iter(folder.glob(f"{best.number}-*")), folder)
        settings = " ".join(_typed(search.settings(best.number)))
        print(f"best      trial {best.number}: {best.value:.6g} with {settings} in {shown(where)}")


def _typed(settings: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def _consecutive(numbers: list[int]) -> list[list[int]]:
    """Runs of numbers without a gap: a launcher counts on from the first."""
    places = count()
    return [list(group) for _, group in groupby(numbers, key=lambda number: number - next(places))]


def _outcome(job: JobReturn) -> tuple[float | None, str]:
    """The job's value, None where it has none, and the status that it left."""
    if job.status == JobStatus.FAILED or job.hydra_cfg is None:
        return None, "failed"
    from pmodel.files.run_files import STATUS
    from pmodel.runs.saved import read_status

    file = Path(job.hydra_cfg.hydra.runtime.output_dir) / STATUS
    status = read_status(file, str(file)).get("status", "done")
    value = job.return_value
    if status == "done" and (value is None or not math.isfinite(value)):
        return None, f"failed, as its value is {value}"
    return (float(value) if status == "done" else None), status
