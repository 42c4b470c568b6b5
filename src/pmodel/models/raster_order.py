"""Images drawn pixel by pixel, in raster order; on a GPU, rows alike are a single launch."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Generator, Tensor

from pmodel.distributions import Likelihood
from pmodel.nets.autoregressive import Steps
from pmodel.processes.bar import Bar

# Where the work of a row is recorded once and played again for those below: a pixel is dozens of kernels, each of
# which takes longer to launch than to run.
REPLAYED_ON = ("cuda",)


def draw_in_raster_order(
    steps: Steps,
    likelihood: Likelihood,
    x: Tensor,
    known: Tensor,
    whole_pixels: bool,
    generator: Generator | None,
    bar: Bar | None = None,
) -> Tensor:
    """Images x (B, C, H, W) with what is not `known` drawn pixel by pixel.

    The noise is drawn row by row, for all of a row whether needed or not.
    """
    B, C, H, W = x.shape
    x = x.clone()
    like = x.new_empty(()).expand(W * B, likelihood.num_parameters(C))
    groups = [slice(0, C)] if whole_pixels else [slice(c, c + 1) for c in range(C)]
    share = likelihood.num_parameters(C) // len(groups)

    def draw(i: int, x: Tensor, known: Tensor, *noise: Tensor) -> None:
        """Row i: what is not known of x (B, C, W) is drawn in place, with the noise of W pixels."""
        steps.start_row(i)
        for j, present in enumerate(steps.inputs):
            for g, channels in enumerate(groups):
                parameters = steps.pixel(j)[:, g * share : (g + 1) * share]
                # Noise of (B, C, …) has a share for each channel, that of a whole pixel is used as it is.
                part = tuple(n[j] if whole_pixels else n[j][:, channels] for n in noise)
                drawn = likelihood.draw(parameters, part)
                value = torch.where(known[:, channels, j], x[:, channels, j], drawn)
                x[:, channels, j] = value
                torch.sub(2 * value, 1, out=present[:, channels])

    replayed = steps.period is not None and x.device.type in REPLAYED_ON
    period = steps.period if replayed else 1
    recording = None
    for start in range(0, H, period):
        rows = range(start, min(start + period, H))
        noise = [tuple(part.unflatten(0, (W, B)) for part in likelihood.noise(like, generator)) for _ in rows]
        # The first period is unlike the others, and the second warms up what can't be while it is recorded.
        if replayed and start >= 2 * period and len(rows) == period:
            given = [(x[:, :, i], known[:, :, i], *n) for i, n in zip(rows, noise, strict=True)]
            recording = recording or _Recording(draw, start, given)
            recording.play(given)
        else:
            for i, n in zip(rows, noise, strict=True):
                draw(i, x[:, :, i], known[:, :, i], *n)
        if bar is not None:
            bar.update(len(rows))
    return x


# x and known of a row, (B, C, W), and its noise, each (W, B, …).
Row = tuple[Tensor, ...]


class _Recording:
    """Some rows as one launch; what they read and write is copied to where they were recorded, and back."""

    def __init__(self, draw: Callable[..., None], start: int, rows: list[Row]):
        self._rows = [tuple(map(torch.empty_like, row)) for row in rows]

        def run() -> None:
            for i, row in enumerate(self._rows, start):
                draw(i, *row)

        self._play = recorded(run, rows[0][0].device)

    def play(self, rows: list[Row]) -> None:
        """Draws the rows, in place."""
        for row, own_row in zip(rows, self._rows, strict=True):
            for given, own in zip(row, own_row, strict=True):
                own.copy_(given)
        self._play()
        for (x, *_), (own_x, *_) in zip(rows, self._rows, strict=True):
            x.copy_(own_x)


def recorded(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A function's work on a GPU, recorded without being done: done by each call, on the same tensors."""
    # Other threads may go on with what they do: NCCL's, for one, looks at its events.
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=_recording_stream(device), capture_error_mode="thread_local"):
            run()
    return graph.replay


@cache
def _recording_stream(device: torch.device) -> "torch.cuda.Stream":
    """One for each device; PyTorch's own is of the first device that recorded anything."""
    return torch.cuda.Stream(device)
