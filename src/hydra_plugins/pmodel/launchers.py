"""Launchers of a multirun's jobs: worker processes, subprocesses of submitit, and Slurm."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from pmodel.files.printable import first_line
from pmodel.files.run_files import STATUS
from pmodel.runs.typed import config_folders
from pmodel.settings.ranges import Count


def _launcher_of(plugin: str, name: str) -> type[Launcher]:
    """A plugin's launcher; where it isn't installed a bare Launcher, whose subclasses stay abstract.

    Hydra passes over what is abstract without a word, and `check_launcher` says what is missing to who asks for one.
    """
    package = f"hydra_plugins.hydra_{plugin}_launcher"
    try:
        return getattr(import_module(f"{package}.{plugin}_launcher"), name)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(package):
            raise
        return Launcher


class OwnOptions(SearchPathPlugin):
    """Adds the conf/ of the user's own project, and takes away the other plugins' options of the names in
    conf/hydra/launcher, whose schemas they would be, once all plugins are loaded, in whatever order."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        own, *others = config_folders()
        if any(
            entry.path.removeprefix("file://") == str(own) for entry in search_path.get_path()
        ):  # not another program of Hydra's
            for folder in others:
                search_path.append("project", f"file://{folder}")
        for name in ("joblib", "submitit_local", "submitit_slurm"):
            ConfigStore.instance().repo["hydra"]["launcher"].pop(f"{name}.yaml", None)


class JoblibLauncher(_launcher_of("joblib", "JoblibLauncher")):
    """Runs jobs side by side in worker processes of this machine; where there are GPUs, each has some of its own.

    n_jobs: how many at the same time; null: as many as have `trainer.devices` GPUs each, or about half of the cores.
        More than that share the GPUs.
    """

    def __init__(self, n_jobs: Count | None = None):
        # Jobs take long: none is sent to a worker before it is free.
        super().__init__(n_jobs=n_jobs, batch_size=1, pre_dispatch="n_jobs")

    def places(self, overrides: Sequence[str]) -> tuple[int, list[str], int]:
        """How many jobs such as this one run at the same time, the GPUs that they share out, and how many each has."""
        from pmodel.commands.workers import places, visible_gpus

        trainer = _composed(self, overrides).trainer
        gpus = [] if trainer.accelerator == "cpu" else visible_gpus()
        return places(self.joblib["n_jobs"], trainer.devices, gpus)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        from pmodel.commands.sweeps import cut
        from pmodel.commands.workers import prepare
        from pmodel.processes.stopping import workers_stop_first

        num_workers, gpus, each = max(self.places(job) for job in job_overrides)
        folder = str(Path(self.config.hydra.sweep.dir).absolute() / ".workers")
        settings = self.joblib
        num_workers = min(num_workers, len(job_overrides))
        self.joblib = settings | {
            "n_jobs": num_workers,
            "initializer": prepare,
            "initargs": (folder, num_workers, gpus, each),
        }
        try:
            with workers_stop_first(Path(folder)):
                return super().launch(job_overrides, initial_job_idx)
        except TerminatedWorkerError:
            print(cut(), file=sys.stderr)
            raise CompactHydraException(
                "a worker process was killed, perhaps for its memory (hydra.launcher.n_jobs=… lowers their number);"
                " the same command line goes on with what is left"
            ) from None
        finally:
            self.joblib = settings


class _Submitit(_launcher_of("submitit", "BaseSubmititLauncher")):
    """Launches through submitit, and waits for all jobs, also where one of them dies without a word."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        from pmodel.processes.stopping import at_once

        common = vars(BaseQueueConf())
        asked = {key: value for key, value in self.params.items() if value is not None}
        own = {f"{self._EXECUTOR}_max_num_timeout": asked.pop("max_num_timeout")} if "max_num_timeout" in asked else {}
        executor = submitit.AutoExecutor(asked.pop("submitit_folder"), cluster=self._EXECUTOR, **own)
        executor.update_parameters(
            **{key if key in common else f"{self._EXECUTOR}_{key}": value for key, value in asked.items()}
        )
        count = len(job_overrides)
        numbers = range(initial_job_idx, initial_job_idx + count)
        jobs = executor.map_array(
            self,
            [list(overrides) for overrides in job_overrides],
            ["hydra.sweep.dir"] * count,
            numbers,
            [f"job_id_for_{number}" for number in numbers],
            [Singleton.get_state()] * count,
        )
        print(f"{count} jobs; what they print is in {executor.folder}", flush=True)
        with at_once():
            return [self._result(job, number) for job, number in zip(jobs, numbers, strict=True)]

    def _result(self, job: Any, number: int) -> JobReturn:
        """What a job returned. One that died has failed; if its directory says that it began, the summary names it."""
        try:
            return job.results()[0]
        except Exception as error:
            reason = first_line(error)
            print(f"error: job {number}: {reason} (its output: {job.paths.stderr})", file=sys.stderr)
            began = any(Path(self.config.hydra.sweep.dir).glob(f"{number}-*/**/{STATUS}"))
            died = JobReturn(status=JobStatus.COMPLETED if began else JobStatus.FAILED)
            died.return_value = None if began else CompactHydraException(f"job {number}: {reason}")
            return died

    def __call__(self, *arguments: Any) -> JobReturn:
        # A process that has unpickled a job does not know what the files in conf/ compute.
        from pmodel.config.resolvers import register_resolvers

        register_resolvers()
        return super().__call__(*arguments)


class SubmititLocalLauncher(_Submitit, _launcher_of("submitit", "LocalLauncher")):
    """Runs each job in a subprocess of its own, all at once.

    gpus_per_node: how many GPUs the jobs may see, all of them the same; null: all that there are.
    """

    def __init__(
        self,
        submitit_folder: str,
        timeout_min: int,
        gpus_per_node: int | None = None,
        stderr_to_stdout: bool = False,
    ):
        super().__init__(**_settings(locals()))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        if self.params["gpus_per_node"] is None:
            from pmodel.commands.workers import visible_gpus

            # submitit hides all that are not asked for.
            self.params["gpus_per_node"] = len(visible_gpus())
        return super().launch(job_overrides, initial_job_idx)


class SlurmLauncher(_Submitit, _launcher_of("submitit", "SlurmLauncher")):
    """Submits the jobs to Slurm as one array, with a task for each device, and waits for them.

    What they ask for is read from each job's own config, in which `${trainer.devices}` is what was typed; it must be
    the same for all. `signal_delay_s` before its time is over a job is sent SIGUSR2: it saves a checkpoint and
    hands the signal on to submitit, which puts it back into the queue, up to `max_num_timeout` times.
    """

    def __init__(
        self,
        submitit_folder: str,
        name: str,
        nodes: int,
        tasks_per_node: int,
        gpus_per_node: int | None,
        cpus_per_task: int | None,
        mem_gb: int | None,
        timeout_min: int,
        max_num_timeout: int,
        signal_delay_s: int,
        array_parallelism: int,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        setup: list[str] | None = None,
        additional_parameters: dict | None = None,
        stderr_to_stdout: bool = False,
    ):
        super().__init__(**_settings(locals()))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        first = self._asked_for(job_overrides[0])
        for overrides in job_overrides[1:]:
            for key, value in self._asked_for(overrides).items():
                if value != first[key]:
                    raise CompactHydraException(
                        f"hydra.launcher.{key} is {first[key]} for one job and {value} for another: jobs of one command"
                        " ask Slurm for the same; type a command for each"
                    )
        self.params |= first
        return super().launch(job_overrides, initial_job_idx)

    def _asked_for(self, overrides: Sequence[str]) -> dict[str, Any]:
        launcher = _composed(self, overrides).hydra.launcher
        per_job = ("nodes", "tasks_per_node", "gpus_per_node", "cpus_per_task", "mem_gb", "timeout_min")
        return {key: launcher[key] for key in per_job}


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """Of the names in a constructor, those of its arguments."""
    return {name: value for name, value in given.items() if name not in ("self", "__class__")}


def _composed(launcher: Launcher, overrides: Sequence[str]) -> DictConfig:
    """A job's whole config, as it will be composed where it runs."""
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
    OmegaConf.set_readonly(config, True)
    return config
