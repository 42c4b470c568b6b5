"""16 pictures from the fast samplers against a full forward pass per pixel: the same weights, seed and pictures.

Weights are random, of the sizes that the papers have for MNIST. At 28×28 the plain sampler runs once, whole, and its
pictures are held against the fast one's. It costs the same at each pixel, so that its time at other sizes is that of a
few forward passes, times the number of pixels; `--quick` does so at 28×28 too. The whole of the Gated PixelCNN takes
the plain sampler some ten minutes.

    uv run benchmarks/sampling.py [--models pixelcnn,pixelrnn] [--device cuda]
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from harness import main, row

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the plain sampler, which the tests trust too

MODELS = {
    "pixelcnn": ["model.hidden_channels=16", "model.num_blocks=15", "model.head_channels=32"],
    "pixelcnn_gated": ["model.hidden_channels=128", "model.num_layers=10", "model.head_channels=128"],
    "pixelcnn_pp": ["model.hidden_channels=32", "model.num_blocks=3", "model.num_scales=3"],
    "pixelrnn": ["model.hidden_channels=16", "model.num_layers=7", "model.head_channels=32"],
    "pixelrnn_row": ["model.hidden_channels=16", "model.num_layers=7", "model.head_channels=32"],
}
NUM_PICTURES = 16
SIZES = (14, 28, 56)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for name in arguments.models.split(","):
        for size in SIZES:
            rows.append(_compare(name, size, arguments.device, whole=size == 28 and not arguments.quick))
            done = rows[-1]
            print(f"{done['name']}: {done['ours']:.2f} s, {done['ratio']:.0f} times as fast", flush=True)
    return rows


def _compare(name: str, size: int, device: str, whole: bool) -> dict[str, Any]:
    import torch
    from plain_sampler import plain_sample
    from support import build

    torch.manual_seed(0)
    data = ["data=mnist", "data.binarize=dynamic", f"model.data_shape=[1,{size},{size}]"]
    model = build(f"model={name}", *data, *MODELS[name])[0].eval().to(device)

    def generator() -> torch.Generator:
        return torch.Generator(device).manual_seed(0)

    def timed(function: Any) -> tuple[float, Any]:
        start = time.perf_counter()
        result = function()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start, result

    def forward() -> None:
        with torch.no_grad():
            model.log_prob(x)

    x = torch.zeros(NUM_PICTURES, *model.data_shape, device=device)
    ours, pictures = zip(
        *(timed(lambda: model.sample(NUM_PICTURES, generator=generator())) for _ in range(4)), strict=True
    )
    if whole:
        seconds, plain = timed(lambda: plain_sample(model, NUM_PICTURES, generator=generator()))
        assert torch.equal(pictures[0], plain), f"{name}: the two samplers give different pictures"
        label = "the same pictures"
    else:
        forward()
        seconds = size * size * statistics.median(timed(forward)[0] for _ in range(4))
        label = "plain: from 4 forward passes"
    # The first run warms up.
    return row(f"{name}, {size}×{size}: {label}", list(ours[1:]), [seconds] * 3, device=device)


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], models=",".join(MODELS), device="cpu")
