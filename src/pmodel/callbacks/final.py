"""What the best weights are worth on validation examples, once, when training is over."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pmodel.callbacks.checkpoints import BestCheckpoint
from pmodel.capabilities import Assigns, LogProb, LowerBound, Samples
from pmodel.evaluation.clusters import Clustering
from pmodel.evaluation.estimates import LikelihoodEstimate
from pmodel.evaluation.likelihood import Likelihood
from pmodel.evaluation.parzen import Parzen
from pmodel.evaluation.points import Modes
from pmodel.evaluation.subject import Subject
from pmodel.loggers.hand import keep
from pmodel.processes.launch import is_first
from pmodel.runs.results import Number
from pmodel.settings.ranges import Count, Positive


class FinalNumbers(Callback):
    """Measures best.ckpt with some of the metrics of an evaluation, those that cost little.

    - likelihoods and bounds; a bound with `num_samples`, of the first `num_images` examples, or of as many as `seconds`
      are enough for: eval.py takes all
    - of points from a known mixture, the modes that `num_draws` samples cover
    - with `parzen_samples`, the Parzen-window estimate of so many
    - how clusters agree with labels

    The model keeps the best weights afterwards.
    """

    def __init__(
        self,
        num_samples: Count,
        num_images: Count,
        num_draws: Count,
        parzen_samples: Count | None,
        seconds: Positive,
    ):
        self.num_samples, self.num_images, self.seconds = num_samples, num_images, seconds
        self.num_draws, self.parzen_samples = num_draws, parzen_samples
        self.numbers: list[Number] = []

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        answers = isinstance(pl_module, LowerBound | LogProb | Assigns | Samples)
        if not (answers and pl_module.fitted and is_first() and trainer.datamodule.split_sizes.get("validation")):
            return
        best = next((c.best_model_path for c in trainer.callbacks if isinstance(c, BestCheckpoint)), "")
        if best:
            pl_module.load_state_dict(torch.load(best, map_location=pl_module.device, weights_only=True)["state_dict"])
        pl_module.eval()
        with torch.no_grad():
            self.numbers = list(self._measure(pl_module, trainer.datamodule))
        keep(trainer.loggers, "numbers", "final", {number["name"]: number["value"] for number in self.numbers})

    def _measure(self, model: LightningModule, data: Any) -> Iterator[Number]:
        subject = Subject(model, data, "validation", batch_size=data.eval_batch_size)
        metrics = (
            Likelihood(self.num_samples, self.num_images, self.seconds),
            LikelihoodEstimate(self.num_images),
            Modes(self.num_draws),
            Parzen(self.parzen_samples),
            Clustering(),
        )
        for metric in metrics:
            yield from (finding for finding in metric.ask(subject) if isinstance(finding, dict))
