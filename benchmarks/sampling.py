"""16 images at once (4096 on a GPU) from the fast samplers, against a full forward pass per sub-pixel.

The same weights, which are random, of the sizes that the papers have for MNIST, and the same seed. At 28×28 on a CPU
the plain sampler runs once, whole, and its images are held against the fast one's. It costs the same at each
sub-pixel, so its time at other sizes is that of a few forward passes, times the number of sub-pixels (of pixels, where
a network has no masks for the channels); `--quick` does so at 28×28 too. The whole of the Gated PixelCNN takes the
plain sampler some ten minutes.

    uv run benchmarks/sampling.py [--models pixelcnn,pixelrnn] [--device cuda]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
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
NUM_IMAGES = {"cpu": 16, "cuda": 4096}
SHAPES = {"cpu": ((1, 14, 14), (1, 28, 28), (1, 56, 56), (3, 32, 32)), "cuda": ((1, 28, 28), (3, 32, 32))}


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name in arguments.models.split(","):
        for shape in SHAPES[arguments.device]:
            whole = shape == (1, 28, 28) and arguments.device == "cpu" and not arguments.quick
            done = _compare(name, shape, arguments.device, whole)
            print(f"{done['name']}: {done['ours']:.2f} s, {done['ratio']:.0f} times as fast", flush=True)
            yield done


def _compare(name: str, shape: tuple[int, int, int], device: str, whole: bool) -> dict[str, Any]:
    import torch
    from plain_sampler import plain_sample
    from support import build

    torch.manual_seed(0)
    C, H, W = shape
    data = ["data=mnist", "data.binarize=dynamic"] if C == 1 else ["data=cifar10"]
    model = build(f"model={name}", *data, f"model.data_shape={list(shape)}", *MODELS[name])[0].eval().to(device)
    count = NUM_IMAGES[device]

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
            model._parameters_of(x, None)

    x = torch.zeros(count, *shape, device=device)
    model.sample_batch = count
    ours, images = zip(*(timed(lambda: model.sample(count, generator=generator())) for _ in range(4)), strict=True)
    if whole:
        seconds, plain = timed(lambda: plain_sample(model, count, generator=generator()))
        assert torch.equal(images[0], plain), f"{name}: the two samplers give different images"
        label = "the same images"
    else:
        forward()
        passes = H * W * (1 if model.network.whole_pixels else C)
        seconds = passes * statistics.median(timed(forward)[0] for _ in range(4))
        label = "plain: from 4 forward passes"
    # The first run warms up.
    size = f"{H}×{W}" + (f"×{C}" if C > 1 else "")
    rate = count / statistics.median(ours[1:])
    return row(f"{name}, {size}, {rate:,.3g} images/s: {label}", list(ours[1:]), [seconds] * 3, device=device)


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], models=",".join(MODELS), device="cpu")
