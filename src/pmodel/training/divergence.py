"""The end of a training whose numbers are NaN or infinite: what broke, at which step, and how to resume."""

import math
from collections.abc import Mapping

from lightning.pytorch import Trainer

from pmodel.files.printable import shown


class Diverged(ValueError):  # noqa: N818
    """A training that no further step can mend."""


def not_finite(values: Mapping[str, float]) -> dict[str, float]:
    """Those of named numbers that are infinite or NaN.

    Norms of gradients may be infinite: a loss scale that was too large makes them so, and skips that step.
    """
    return {k: v for k, v in values.items() if not math.isfinite(v) and not k.endswith("_gradient")}


def diverged(trainer: Trainer, broken: Mapping[str, float], advice: str) -> Diverged:
    """The error that names the quantities, the step (counted from 1), the last good checkpoint, and what to try."""
    # Of the step under way, or of the last one between two.
    step = -(-trainer.fit_loop.epoch_loop.batch_progress.total.ready // trainer.accumulate_grad_batches)
    precision = str(trainer.precision)
    wider = "" if precision in ("32-true", "64-true") else f", or trainer.precision=32-true, not {precision}"
    (name, value), *others = broken.items()
    named = f"{name} is {value}" + "".join(f", {other} {number}" for other, number in others)
    path = getattr(trainer.strategy.checkpoint_io, "last_written", None) or trainer.ckpt_path
    good = f"the last good checkpoint is {shown(path)}" if path else "no checkpoint was written before"
    return Diverged(f"the training diverged: {named} at step {step}; {good}; {advice}{wider}")
