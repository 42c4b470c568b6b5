"""What the course of a training says about it, as sentences with the setting to type next."""

import math
from typing import NamedTuple

import numpy as np

# A trend is one if its slope is so many standard errors from 0.
STANDARD_ERRORS = 3
# Of all that a training has gained, what its last quarter still gained where more steps are worth their time; of two or
# three measurements, what the last one gained.
GAIN, GAIN_OF_FEW = 0.02, 0.1
# Of its first value, what a training gains at least that learns at all.
LEAST_GAIN = 0.01
# Rises of the training loss over its falls; about 1 where it only goes up and down.
RESTLESS = 0.5
# Averaged weights lag where they reach back over more than a fifth of the steps.
REACH = 0.2


class Curve(NamedTuple):
    """Values over epochs, both (N,), of which less is better."""

    epochs: list[int]
    values: list[float]

    def slope(self, first: int) -> tuple[float, float]:
        """Of a line through the values from the first-th on, by least squares, per epoch, and its standard error.

        Of fewer than three values the error is infinite.
        """
        x, y = (np.asarray(part[first:], dtype=np.float64) for part in self)
        if len(x) < 3:
            return 0.0, math.inf
        x = x - x.mean()
        slope = (x @ y) / (x @ x)
        residual = y - y.mean() - slope * x
        return float(slope), math.sqrt((residual @ residual) / (len(x) - 2) / (x @ x))

    def rises(self, first: int) -> bool:
        slope, error = self.slope(first)
        return slope > STANDARD_ERRORS * error

    def falls(self, first: int) -> bool:
        slope, error = self.slope(first)
        return -slope > STANDARD_ERRORS * error


def overfits(train: Curve, val: Curve, name: str) -> str | None:
    """Since its best epoch the validation rises while training falls on."""
    best = int(np.argmin(val.values))
    since = sum(epoch < val.epochs[best] for epoch in train.epochs)
    if not (val.rises(best) and train.falls(since)):
        return None
    return (
        f"it overfits since epoch {val.epochs[best]} ({name} is {val.values[-1] - val.values[best]:.3g} worse by now;"
        " best.ckpt is of that epoch); try callbacks=[default,early_stopping], more data or a smaller model"
    )


def still_improves(val: Curve, name: str, longer: str) -> str | None:
    """The last quarter of the training gained something.

    longer: the setting that makes the training longer
    """
    count, gained = len(val.values), val.values[0] - min(val.values)
    first = min(count - count // 4 - 1, count - 3) if count > 3 else count - 2
    if count < 2 or gained <= 0 or val.values[-1] > min(val.values):
        return None
    gain = val.values[first] - val.values[-1]
    if gain < (GAIN if count > 3 else GAIN_OF_FEW) * gained or (count > 3 and not val.falls(first)):
        return None
    epochs = val.epochs[-1] - val.epochs[first]
    return (
        f"it was still improving when it ended ({name} gained {gain:.3g} in the last"
        f" {f'{epochs} epochs' if epochs > 1 else 'epoch'}); try {longer}"
    )


def learns_badly(train: Curve, val: Curve, name: str, lower: str) -> str | None:
    """The training loss goes up and down, or hardly improved after the first epoch.

    lower: the setting of a lower learning rate
    """
    steps = np.diff(train.values)
    if len(steps) < 4:
        return None
    rises, falls = steps[steps > 0].sum(), -steps[steps < 0].sum()
    size = abs(float(np.median(train.values)))
    if rises > RESTLESS * falls and np.abs(steps).mean() > LEAST_GAIN * size:
        return f"its training loss goes up and down, so the learning rate may be too high; try {lower}"
    if val.values[0] - min(val.values) < LEAST_GAIN * abs(val.values[0]):
        return f"{name} has hardly improved since epoch {val.epochs[0]}, so the learning rate may not fit; try {lower}"
    return None


def averages_lag(train: Curve, val: Curve, decay: float | None, steps: int) -> str | None:
    """Weights are averaged over a large part of the training.

    decay: of the averages, None: there are none
    steps: of the optimizer, in all
    """
    if decay is None or steps * (1 - decay) * REACH >= 1 or val.values[-1] <= train.values[-1]:
        return None
    return (
        f"validation uses averaged weights (model.ema_decay={decay:g}), which lag in a run of {steps:,} steps;"
        " try model.ema_decay=null, or a longer run"
    )
