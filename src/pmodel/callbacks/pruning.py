"""Ends a trial of a search that does worse than the others did."""

import logging
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from pmodel.callbacks.search_journal import JOURNAL, STUDY, open_journal
from pmodel.figures.figure import epochs_done, followed
from pmodel.processes.launch import is_first
from pmodel.settings.ranges import Whole

log = logging.getLogger("pmodel")


class Pruned(Exception):  # noqa: N818  (it is no error)
    """The trial is not worth going on with; its checkpoints are those of any run."""


class Pruning(Callback):
    """Reports the `monitor` of the model after each epoch that measured it, and raises
    `Pruned` before the next epoch if the best so far is worse than the median of the other trials at that epoch.

    The study is found by the run's directory, `<search>/<number of the trial>-…`; elsewhere nothing is pruned. The
    first process alone talks to it, and tells the others.

    Args:
        run_dir: the run's directory.
        num_startup_trials: none is pruned before so many have ended.
        num_warmup_epochs: none is pruned before it has had so many epochs.
    """

    def __init__(self, run_dir: str, num_startup_trials: Whole, num_warmup_epochs: Whole):
        self.run_dir = Path(run_dir)
        self.num_startup_trials, self.num_warmup_epochs = num_startup_trials, num_warmup_epochs
        self._study, self._storage, self._trial_id = None, None, None
        self._validated, self._reason = False, None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reason, reason = None, None
        if is_first() and self._open():
            # A trial that was cut after this epoch's report, and before its end, is decided now as it was then.
            epoch, trial = epochs_done(trainer), self._storage.get_trial(self._trial_id)
            if epoch and trial.last_step == epoch:
                monitor = followed(trainer.datamodule, pl_module)
                reason = self._decision(epoch, monitor, trial.intermediate_values[epoch])
        self._reason = trainer.strategy.broadcast(reason)

    def _open(self) -> bool:
        import optuna

        number, journal = self.run_dir.name.partition("-")[0], self.run_dir.parent / JOURNAL
        if not (number.isdigit() and journal.is_file()):
            log.warning("callbacks.pruning: %s is no trial of a search; nothing is pruned", self.run_dir)
            return False
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.MedianPruner(self.num_startup_trials, self.num_warmup_epochs)
        self._storage = open_journal(journal)
        self._study = optuna.load_study(study_name=STUDY, storage=self._storage, pruner=pruner)
        study_id = self._storage.get_study_id_from_name(STUDY)
        self._trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, int(number))
        return True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        monitor = followed(trainer.datamodule, pl_module)
        measured = self._validated or monitor.startswith("train/")  # Lightning keeps an old number
        self._validated = False
        if not (trainer.is_last_batch and measured and monitor in trainer.callback_metrics):
            return
        reason = None
        if self._study is not None:
            reason = self._decision(epochs_done(trainer), monitor, trainer.callback_metrics[monitor].item())
        self._reason = trainer.strategy.broadcast(reason)

    def _decision(self, epoch: int, monitor: str, value: float) -> str | None:
        """Reports what an epoch measured, once also where the run is cut, and gives why the trial ends, if it does."""
        trial = self._storage.get_trial(self._trial_id)
        if trial.state.is_finished():  # the run goes on for longer, after the search
            return None
        if epoch not in trial.intermediate_values:
            self._storage.set_trial_intermediate_value(self._trial_id, epoch, value)
            trial = self._storage.get_trial(self._trial_id)
        if not self._study.pruner.prune(self._study, trial):
            return None
        best = min if self._study.direction.name == "MINIMIZE" else max
        value = best(trial.intermediate_values.values())
        return f"by epoch {epoch} the best {monitor}, {value:.4g}, is worse than the median of the other trials"

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not at the end of an epoch: the checkpoints are written after all other callbacks.
        if self._reason is not None:
            raise Pruned(self._reason)
