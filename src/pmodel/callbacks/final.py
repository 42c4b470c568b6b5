"""What the best weights are worth, once, when training is over."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from pmodel.callbacks.checkpoints import BestCheckpoint
from pmodel.callbacks.pictures import SEED, fixed_generator
from pmodel.capabilities import Assigns, LogProb, LowerBound, Samples
from pmodel.metrics.clustering import clustering_scores
from pmodel.metrics.likelihood import Estimate, bits_per_dim, estimate, lower_bound
from pmodel.metrics.modes import NUM_STDS, SMALLEST_SHARE, mode_scores
from pmodel.metrics.parzen import parzen_estimate
from pmodel.reporting.results import Number

# What "high quality" and "covered" mean.
RULE = {"high_quality_within_stds": NUM_STDS, "covered_from_share": SMALLEST_SHARE}


class FinalNumbers(Callback):
    """Measures best.ckpt on validation examples, each number for the models that can answer for it.

    - `elbo`: the ELBO and the importance-weighted bound with `num_samples`, both of the first `num_images` examples
    - `log_prob`: the log-likelihood of all examples, with its standard error; of dequantized pictures also the bound
      on the log-likelihood of their levels that it implies
    - `sample`: of points from a known mixture, how many modes `num_draws` samples cover, and how many lie at one
    - `sample`: with `parzen_samples`, the Parzen-window estimate of so many: its bandwidth is chosen on one half of the
      examples, its value is that of the other half
    - `assign`: how the clusters agree with labels that the model has not seen, where there are any

    The model keeps the best weights afterwards.
    """

    def __init__(
        self,
        num_samples: int = 500,
        num_images: int = 1000,
        num_draws: int = 10_000,
        parzen_samples: int | None = None,
    ):
        settings = {"num_samples": num_samples, "num_images": num_images, "num_draws": num_draws}
        for name, value in (settings | {"parzen_samples": parzen_samples}).items():
            if value is not None and value < 1:
                raise ValueError(f"callbacks.final.{name}={value}: expected at least 1")
        self.num_samples, self.num_images = num_samples, num_images
        self.num_draws, self.parzen_samples = num_draws, parzen_samples
        self.numbers: list[Number] = []

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        answers = isinstance(pl_module, LowerBound | LogProb | Assigns | Samples)
        if not (
            answers and pl_module.fitted and trainer.is_global_zero and trainer.datamodule.split_sizes.get("validation")
        ):
            return
        best = next((c.best_model_path for c in trainer.callbacks if isinstance(c, BestCheckpoint)), "")
        if best:
            pl_module.load_state_dict(torch.load(best, map_location=pl_module.device, weights_only=True)["state_dict"])
        pl_module.eval()
        self.numbers = []
        try:
            with torch.no_grad():
                for number in self._measure(pl_module, trainer.datamodule):
                    self.numbers.append(number)
        except KeyboardInterrupt:
            print("final numbers left out: interrupted; the training itself is done")

    def _measure(self, model: LightningModule, data: Any) -> Iterator[Number]:
        shared = {"split": "validation", "protocol": data.protocol()}
        x, label = data.examples("validation", data.split_sizes["validation"])
        if isinstance(model, LowerBound):
            first = x[: self.num_images].to(model.device)
            print(
                f"bounding log p(x) of {len(first):,} validation examples with {self.num_samples} samples of z each",
                flush=True,
            )
            for k in dict.fromkeys([1, self.num_samples]):
                name = "elbo (K = 1)" if k == 1 else f"importance-weighted bound (K = {k})"
                protocol = {**shared["protocol"], "num_samples": k, "noise_seed": 0}
                yield _likelihood(
                    name,
                    lower_bound(model, first, k),
                    data,
                    {**shared, "protocol": protocol},
                    bits=data.num_levels is not None,
                )
        parts = x.split(data.eval_batch_size)
        if isinstance(model, LogProb):
            found = estimate(torch.cat([model.log_prob(part.to(model.device)).cpu() for part in parts]))
            is_density = data.num_levels is None or getattr(model, "continuous_density", False)
            yield _likelihood("log-likelihood", found, data, shared, bits=not is_density)
            if getattr(data, "dequantize", False):
                # A level is a cell of volume L^−D; Theis et al. (2015, arXiv 1511.01844), section 3.1.
                cell = math.prod(data.shape) * math.log(data.source_levels)
                bound = found._replace(mean=found.mean - cell)
                yield _likelihood("log-likelihood of levels, lower bound", bound, data, shared, bits=True)
        if isinstance(model, Samples):
            yield from self._of_samples(model, data, x, shared)
        if isinstance(model, Assigns) and (label >= 0).all():
            cluster = torch.cat([model.assign(part.to(model.device)).cpu() for part in parts])
            yield from _clustering(cluster, label, shared)

    def _of_samples(self, model: Samples, data: Any, x: Tensor, shared: dict[str, Any]) -> Iterator[Number]:
        mixture = getattr(data, "mixture", None)
        if mixture is not None:
            samples = _draws(model, self.num_draws)
            parts = (torch.tensor(part) for part in (mixture.means, mixture.stds, mixture.weights))
            scores = mode_scores(samples, *parts)
            drawn = {
                "split": "drawn",
                "count": len(samples),
                "protocol": {**data.protocol(), **RULE, "noise_seed": SEED},
            }
            yield {"name": "modes covered", "value": scores.covered, "unit": f"of {scores.num_modes}", **drawn}
            yield {"name": "high-quality samples", "value": scores.high_quality, "unit": "of 1", **drawn}
        if self.parzen_samples is not None and len(x) > 1:
            samples = _draws(model, self.parzen_samples)
            found, sigma = parzen_estimate(samples, *x.chunk(2))
            protocol = {**shared["protocol"], "num_generated": len(samples), "noise_seed": SEED, "sigma": sigma}
            shared = {**shared, "protocol": protocol}
            yield _likelihood("Parzen-window estimate", found, data, shared, bits=False)


def _draws(model: Samples, n: int) -> Tensor:
    """n samples, on the CPU, which has float64, with the noise that figures begin with."""
    generator = fixed_generator(model.device)
    return torch.cat([model.sample(len(part), generator=generator).cpu() for part in torch.arange(n).split(500)])


def _likelihood(name: str, found: Estimate, data: Any, shared: dict[str, Any], bits: bool) -> Number:
    mean, error, count = found
    number: Number = {"name": name, "value": mean, "unit": "nats", "count": count, **shared}
    if not math.isnan(error):
        number["standard_error"] = error
    if bits:
        number["bits_per_dim"] = bits_per_dim(mean, math.prod(data.shape))
    return number


def _clustering(cluster: Tensor, label: Tensor, shared: dict[str, Any]) -> Iterator[Number]:
    for name, value in clustering_scores(cluster, label).items():
        yield {"name": name, "value": value, "unit": "", "count": len(label), **shared}
