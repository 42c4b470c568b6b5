"""The Fréchet distance of a model's draws to real examples, while it trains."""

import math
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from pmodel.capabilities import Samples
from pmodel.features.dataset_network import MAX_VALUES, feature_extractor, seen_by_network
from pmodel.features.extractor import FeatureExtractor
from pmodel.figures.figure import epochs_done, evaluating
from pmodel.figures.images import SEED, fixed_generator
from pmodel.metrics.frechet import Moments, frechet_distance
from pmodel.processes.launch import is_first
from pmodel.runs.results import Number
from pmodel.settings.ranges import Count, Two

# Examples that are drawn at once.
PART = 500
# Numbers in all examples that are compared: 2^27 float32 are 512 MiB.
MAX_COMPARED = 2**27


class FrechetDistance(Callback):
    """Logs val/frechet after the first epoch, every n-th and the last, for models that can sample.

    Compares `num_samples` draws with all validation examples, or as many as 2^27 numbers hold, on the features of the
    data set (`pmodel.features.dataset_network`); without validation examples with those of training, as train/frechet.
    The draws begin with the same noise each time. The first process measures, and tells the others.

    In an epoch without a measurement the number is missing: no other epoch's stands beside what is kept as best.

    `reference` is the distance of training examples that the network has not seen (see `seen_by_network`), as
    many as samples if there are so many, to the same validation examples: about what draws from the data themselves
    would have. None without validation examples.

    Args:
        every_n_epochs: None: each epoch if it is the model's `monitor`, else never.
        cache_dir: keeps the weights of the feature network for the next run; None: nowhere.
    """

    def __init__(self, num_samples: Two, every_n_epochs: Count | None, cache_dir: str | None):
        self.num_samples, self.every_n_epochs = num_samples, every_n_epochs
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self.extractor: FeatureExtractor | None = None
        self.real: Moments | None = None
        self.reference: float | None = None
        self.numbers: list[Number] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (self._applies(trainer, pl_module) and is_first()):
            return
        data, split, count = trainer.datamodule, _compared_split(trainer), _count(trainer)
        print(f"Fréchet distances: features of {count:,} {split} examples", flush=True)
        self.extractor = feature_extractor(data, self.cache_dir).to(pl_module.device)
        self.real = Moments.of(self.extractor.features(data.examples(split, count).x))
        self.reference, self.numbers = None, []
        seen = seen_by_network(min(data.split_sizes["train"], MAX_VALUES // math.prod(data.shape)))
        if split == "validation" and data.split_sizes["train"] - seen > 1:
            x = data.examples("train", seen + self.num_samples).x[seen:]
            self.reference = frechet_distance(Moments.of(self.extractor.features(x)), self.real)
            number: Number = {
                "name": "frechet_distance_of_training_examples",
                "label": "Fréchet distance, real train against real validation",
                "value": self.reference,
                "unit": "distance of features",
                "split": split,
                "count": count,
                "protocol": {**data.protocol(), **self._features(), "num_train": len(x), "train_part": "second half"},
            }
            self.numbers.append(number)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (self._applies(trainer, pl_module) and pl_module.fitted):
            return
        split = {"validation": "val", "train": "train"}[_compared_split(trainer)]
        # An epoch that ends before its last batch is none: a run that goes on from there does not measure here.
        if trainer.is_last_batch and self._is_due(trainer, pl_module):
            value = self._measure(trainer, pl_module) if is_first() else None
            pl_module.counts.setdefault(split, _count(trainer))
            pl_module.counts[f"{split}/frechet"] = _count(trainer)
            pl_module.log_epoch(split, {"frechet": trainer.strategy.broadcast(value)})
        else:
            # Lightning would keep it there until the next one.
            trainer.callback_metrics.pop(f"{split}/frechet", None)

    def _applies(self, trainer: Trainer, model: LightningModule) -> bool:
        wanted = self.every_n_epochs is not None or model.monitor == "val/frechet"
        return wanted and isinstance(model, Samples) and _count(trainer) > 1

    def _is_due(self, trainer: Trainer, model: LightningModule) -> bool:
        epoch = epochs_done(trainer)
        ends = trainer.should_stop or trainer.global_step == trainer.max_steps or epoch == trainer.max_epochs
        return ends or epoch == 1 or epoch % (self.every_n_epochs or 1) == 0

    def _measure(self, trainer: Trainer, model: LightningModule) -> float:
        generator = fixed_generator(model.device)
        parts = [min(PART, self.num_samples - start) for start in range(0, self.num_samples, PART)]
        with evaluating(trainer, model):
            drawn = (model.sample(n, generator=generator) for n in parts)
            return frechet_distance(Moments.of(self.extractor.features(x) for x in drawn), self.real)

    def protocol(self) -> dict[str, Any]:
        """What the logged distance depends on besides the data, in plain values; empty where none is measured."""
        if self.extractor is None:
            return {}
        return {**self._features(), "num_generated": self.num_samples, "noise_seed": SEED}

    def _features(self) -> dict[str, Any]:
        return {
            "num_real": self.real.count,
            "feature_network": self.extractor.name,
            "feature_hash": self.extractor.hash,
        }


def _compared_split(trainer: Trainer) -> str:
    """The split whose examples are compared with."""
    return "validation" if trainer.datamodule.split_sizes.get("validation") else "train"


def _count(trainer: Trainer) -> int:
    """How many examples of it."""
    data = trainer.datamodule
    return min(data.split_sizes[_compared_split(trainer)], MAX_COMPARED // math.prod(data.shape))
