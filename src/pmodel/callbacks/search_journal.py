"""The trials of a search in a journal file, from which it goes on after any end.

Optuna is imported where it is used: it is an extra.
"""

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pmodel.config.search_space import Choice, Dimension, written

if TYPE_CHECKING:
    import optuna

JOURNAL, STUDY = "optuna.journal", "search"

# Fewer say little about which setting matters.
MIN_TRIALS = 10

Direction = Literal["minimize", "maximize"]
SamplerName = Literal["tpe", "random"]


class Search:
    """A study: which settings to try next, which trials there were, and which was best.

    A trial's settings are drawn from the seed, its number and the trials that ended before, and are written to the
    journal at once and whole: they do not depend on how often the search was cut. A trial that was cut is unfinished,
    and is to be launched again under its number.

    Args:
        folder: the multirun's directory.
        space: the settings to search.
        direction: whether small values are good.
        sampler: `tpe` (Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011) or `random`.
        num_startup_trials: of `tpe`, whose first trials are random.
        conditions: what else makes trials comparable; a search in the same folder must have the same.

    Raises:
        ValueError: if the folder holds another search.
    """

    def __init__(
        self,
        folder: Path,
        space: dict[str, Dimension],
        direction: Direction,
        seed: int,
        sampler: SamplerName = "tpe",
        num_startup_trials: int = 10,
        conditions: dict[str, Any] | None = None,
    ):
        import optuna

        self.space, self.seed, self.sampler, self.num_startup_trials = space, seed, sampler, num_startup_trials
        self.distributions = {key: _distribution(dimension) for key, dimension in space.items()}
        journal = folder / JOURNAL
        _repair(journal)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(
            storage=open_journal(journal), study_name=STUDY, direction=direction, load_if_exists=True
        )
        about = {key: _plain(dimension) for key, dimension in space.items()} | (conditions or {})
        about |= {"direction": direction, "seed": seed, "sampler": sampler, "num_startup_trials": num_startup_trials}
        known = self.study.user_attrs.get("about")
        if known is None:
            self.study.set_user_attr("about", about)
        elif known != about:
            key = next(k for k in [*about, *known] if about.get(k) != known.get(k))
            raise ValueError(
                f"{folder} holds another search, with {key}: {known.get(key, 'not set')}, now"
                f" {about.get(key, 'not set')}; type what it had, or another hydra.sweep.dir"
            )

    def trials(self) -> "list[optuna.trial.FrozenTrial]":
        """All trials, in their order."""
        return self.study.get_trials(deepcopy=False)

    def next_trials(self, num_jobs: int, num_trials: int) -> list[int]:
        """The numbers of the trials to launch now, at most `num_jobs` of them; none once there are `num_trials`.

        Those that were cut come first. What they were launched beside is asked for as if nothing had happened: before
        any of them has ended.
        """
        count = len(self.trials())
        batches = math.ceil(count / num_jobs) if self._unfinished() else count // num_jobs + 1
        for number in range(count, min(batches * num_jobs, num_trials)):
            self._ask(number)
        return self._unfinished()[:num_jobs]

    def _unfinished(self) -> list[int]:
        return [trial.number for trial in self.trials() if not trial.state.is_finished()]

    def _ask(self, number: int) -> None:
        import numpy as np
        import optuna

        # A sampler of Optuna's goes on from the state of its own generator, which is lost with the process.
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        sampler = optuna.samplers.RandomSampler(seed)
        if self.sampler == "tpe":
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.num_startup_trials)
        # Asked of a copy: the study itself would write one setting after the other.
        copy = optuna.create_study(direction=self.study.direction, sampler=sampler)
        copy.add_trials(self.trials())
        drawn = copy.ask(self.distributions).params
        params = {key: _shortened(dimension, drawn[key]) for key, dimension in self.space.items()}
        running = optuna.trial.TrialState.RUNNING
        self.study.add_trial(optuna.trial.create_trial(state=running, params=params, distributions=self.distributions))

    def settings(self, number: int) -> dict[str, str]:
        """A trial's settings, as one types them."""
        params = self.trials()[number].params
        return {key: written(dimension, params[key]) for key, dimension in self.space.items()}

    def tell(self, number: int, value: float | None, pruned: bool = False) -> None:
        """Ends a trial: with its value, as pruned, or, where there is neither or the value is no number, as failed."""
        from optuna.trial import TrialState

        if value is not None and math.isfinite(value):
            self.study.tell(number, value)
        else:
            self.study.tell(number, state=TrialState.PRUNED if pruned else TrialState.FAIL)

    @property
    def minimizes(self) -> bool:
        return self.study.direction.name == "MINIMIZE"

    def best(self) -> "optuna.trial.FrozenTrial | None":
        """The best of the trials that ran to their end, the first of equals; None if none has."""
        return self.study.best_trial if self.outcomes()[0] else None

    def importances(self) -> dict[str, float]:
        """How much of the differences between the trials that ran to their end each setting explains, by its name: an
        analysis of variance of a random forest (Hutter, Hoos & Leyton-Brown, 2014). Empty where there are too few
        trials, or only one setting.

        The value of a trial among the worst quarter is the best of that quarter's: one that has diverged would explain
        nearly all differences.
        """
        import numpy as np
        import optuna

        values = list(self.outcomes()[0].values())
        if len(self.space) < 2 or len(values) < MIN_TRIALS:
            return {}
        limit = np.quantile(values, 0.75 if self.minimizes else 0.25)
        worst = min if self.minimizes else max
        if len({worst(value, limit) for value in values}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.seed)
        clipped = {"target": lambda trial: worst(trial.value, limit)}
        return optuna.importance.get_param_importances(self.study, evaluator=evaluator, **clipped)

    def outcomes(self) -> tuple[dict[int, float], dict[int, float], int]:
        """By number, the values of trials that ran to their end, and the last ones of those that were pruned; how many
        failed."""
        trials = self.trials()
        done = {trial.number: trial.value for trial in trials if trial.state.name == "COMPLETE"}
        pruned = {t.number: t.value for t in trials if t.state.name == "PRUNED" and t.value is not None}
        return done, pruned, sum(trial.state.name == "FAIL" for trial in trials)


def open_journal(path: Path) -> "optuna.storages.JournalStorage":
    """The storage in a journal file; several processes may have it open."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _repair(journal: Path) -> None:
    """Cuts off a last line that was not written to its end: a next one would be joined to it, and neither be read."""
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def _shortened(dimension: Dimension, value: Any) -> Any:
    """A number without a step, with four digits that one can read; others are as they are."""
    if isinstance(dimension, Choice) or dimension.whole or dimension.step is not None:
        return value
    return min(max(float(f"{value:.4g}"), dimension.low), dimension.high)


def _distribution(dimension: Dimension) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if dimension.whole:
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step or 1)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _plain(dimension: Dimension) -> list[str] | dict[str, Any]:
    """As JSON keeps it."""
    return list(dimension.values) if isinstance(dimension, Choice) else asdict(dimension)
