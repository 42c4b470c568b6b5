"""What goes wrong with a GAN, found while it runs: a game that diverges, is over, or has collapsed."""

import math
from typing import Any

from torch import Tensor

from pmodel.training.objectives import Objective

ADVICE = {
    "settled": "try a lower model.optimizer.discriminator.lr, model.spectral_norm=true or model.label_smoothing=0.1",
    "collapsed": "try model.objective=wasserstein_gp or hinge, model.r1=1 or a lower model.optimizer.generator.lr",
    "diverged": "try a lower lr of model.optimizer.generator and .discriminator, or trainer.gradient_clip_val=1",
}


class GameHealth:
    """Counts for how many batches each concern has lasted; one that is found at a single epoch's end is none yet."""

    # A concern that has lasted for so many batches is said.
    PATIENCE = 1000
    # Real and generated examples whose spreads are compared.
    NUM_EXAMPLES = 500
    # Of the spread of real examples. Digits of one class have 0.5 (ones) to 0.9 of the spread of all.
    LEAST_SPREAD = 0.5

    def __init__(self) -> None:
        self.batches = 0
        self.verdicts = (math.nan, math.nan)
        # The batch since which each concern has been found.
        self.since: dict[str, int] = {}

    def note(self, values: dict[str, float], objective: Objective, batches: int) -> None:
        """Takes the means of an epoch, after so many batches in all."""
        self.batches, self.verdicts = batches, (values["d_real"], values["d_fake"])
        self._lasting("settled", objective.settled(*self.verdicts))

    def _lasting(self, kind: str, found: bool) -> int:
        """For how many batches a concern has been found."""
        if not found:
            self.since.pop(kind, None)
            return 0
        return self.batches - self.since.setdefault(kind, self.batches)

    def concerns(self, real: Tensor, samples: Tensor) -> dict[str, str]:
        """A line for each thing that has gone wrong for long, given real and generated examples (N, …)."""
        spread = relative_spread(real, samples)
        narrow_for = self._lasting("collapsed", spread < self.LEAST_SPREAD)
        settled_for = self._lasting("settled", "settled" in self.since)
        found = {}
        if settled_for >= self.PATIENCE:
            d_real, d_fake = self.verdicts
            found["settled"] = (
                f"the discriminator has been sure for {settled_for:,} batches (D(x) {d_real:.3g}, D(G(z))"
                f" {d_fake:.3g}), so the generator learns little; {ADVICE['settled']}"
            )
        if narrow_for >= self.PATIENCE:
            found["collapsed"] = (
                f"the samples have hardly differed for {narrow_for:,} batches (their spread is {spread:.2f} of the"
                f" data's), a collapse; {ADVICE['collapsed']}"
            )
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches, self.since = state["batches"], dict(state["since"])


def relative_spread(real: Tensor, samples: Tensor) -> float:
    """√(total variance of the samples / that of the real examples), both (N, …)."""
    spreads = [x.flatten(1).cpu().double().var(0, correction=0).sum().sqrt().item() for x in (samples, real)]
    return spreads[0] / spreads[1] if spreads[1] > 0 else math.nan
