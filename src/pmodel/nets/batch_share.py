"""What is drawn or averaged over a batch of which each device has a share, as one device with all of it would.

While a step's `share` is known, a device draws the noise of the whole batch and keeps its own part. So the noise does
not depend on the number of devices, and their random states stay equal, however unequal their shares are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Where this device's examples begin in the batch over all devices, and how many that has; None where it has all of it.
# A process is a device, and takes one step at a time.
_current: tuple[int, int] | None = None


@contextmanager
def share(first: int, count: int, total: int | None) -> Iterator[None]:
    """Until its end, this device has examples `first` … first + count − 1 of `total`; None: it has all of them."""
    global _current
    before, _current = _current, None if total is None or total == count else (first, total)
    try:
        yield
    finally:
        _current = before


def is_shared() -> bool:
    """Whether this device has only a share of the batch of the step under way."""
    return _current is not None


def own_share(draw: Callable[[int], Tensor], n: int) -> Tensor:
    """This device's n of what `draw(total)` draws for all devices; `draw(n)` where it has the whole batch."""
    if _current is None:
        return draw(n)
    first, total = _current
    return draw(total)[first : first + n]


def batch_mean(x: Tensor) -> Tensor:
    """The mean over the batch of all devices, (…), of x (B, …); without gradients.

    All devices have to call it in the same step.
    """
    if _current is None:
        return x.detach().mean(0)
    total = x.detach().sum(0)
    torch.distributed.all_reduce(total)
    return total / _current[1]
