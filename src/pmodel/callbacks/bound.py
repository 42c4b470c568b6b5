"""The tight bound of the best weights, once, when training is over."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pmodel.callbacks.checkpoints import BestCheckpoint
from pmodel.capabilities import LowerBound
from pmodel.metrics.likelihood import Estimate, lower_bound


class FinalBound(Callback):
    """The ELBO and the K-sample importance-weighted bound of best.ckpt on the same validation examples.

    For models that answer `elbo`; others are left alone. The model keeps the best weights afterwards.
    """

    def __init__(self, num_samples: int = 500, num_images: int = 1000):
        self.num_samples, self.num_images = num_samples, num_images
        self.estimates: dict[int, Estimate] = {}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(pl_module, LowerBound) or not trainer.is_global_zero:
            return
        best = next((c.best_model_path for c in trainer.callbacks if isinstance(c, BestCheckpoint)), "")
        if best:
            pl_module.load_state_dict(torch.load(best, map_location=pl_module.device, weights_only=True)["state_dict"])
        x = trainer.datamodule.examples("validation", self.num_images).x.to(pl_module.device)
        if len(x) == 0:
            return
        pl_module.eval()
        print(
            f"bounding log p(x) of {len(x):,} validation examples with {self.num_samples} samples of z each", flush=True
        )
        try:
            for k in dict.fromkeys([1, self.num_samples]):
                self.estimates[k] = lower_bound(pl_module, x, k)
        except KeyboardInterrupt:
            print("bound left out: interrupted; the training itself is done")
