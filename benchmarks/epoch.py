"""Seconds of an MNIST epoch of the Diagonal BiLSTM as its experiment trains it, against a plain loop of its steps.

Ours is the whole of `train.py`'s epoch: trainer, progress, CSV logger, timing, averaged weights, the binarization that
is drawn anew; validation and checkpoints are left out. The plain loop does forward, backward and the optimizer's step
on images that were drawn before. An epoch is long, so blocks of its steps run in turn, and the seconds are those of a
whole epoch at that pace.

    uv run benchmarks/epoch.py --data-dir ../shared/data [--device cuda]
"""

import argparse
import math
import time
from collections.abc import Iterator
from typing import Any

from harness import main, row
from trainer import composed, train

# Images in a step, and steps in a block.
BLOCKS = {"cpu": ((16, 10),), "cuda": ((16, 100), (64, 50), (256, 25))}


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for batch, steps in BLOCKS[arguments.device]:
        name, ours, plain = measured(batch, steps, arguments)
        found = row(name, ours, plain, device=arguments.device)
        print(f"{found['name']}: {found['ours']:.3g} s", flush=True)
        yield found


def measured(batch: int, steps: int, arguments: argparse.Namespace) -> tuple[str, list[float], list[float]]:
    """What was trained, and the seconds of an epoch of ours and of the plain loop, block by block."""
    import lightning
    import torch

    from pmodel.instantiate import instantiate

    rounds = 3 if arguments.quick else 7
    config, data = composed(
        arguments,
        *("experiment=pixelrnn_mnist", f"data.batch_size={batch}", "logger=csv", "callbacks=minimal"),
        f"trainer.limit_train_batches={steps}",
    )
    images = data._split("train")[0]
    epoch = math.ceil(len(images) / batch)
    plain_model = instantiate(config["model"]).to(arguments.device)
    optimizer = instantiate(config["model"]["optimizer"], plain_model.parameters())
    drawn = (torch.rand(steps, batch, *images.shape[1:], device=arguments.device) < 0.2).float()

    class PlainBatch:
        label = None

        def __init__(self, x: torch.Tensor):
            self.x = x

    def wait() -> None:
        if arguments.device == "cuda":
            torch.cuda.synchronize()

    def plain_block() -> float:
        start = time.perf_counter()
        for x in drawn:
            optimizer.zero_grad()
            plain_model.loss(PlainBatch(x))["loss"].mean().backward()
            optimizer.step()
        wait()
        return (time.perf_counter() - start) * epoch / steps

    times: dict[str, list[float]] = {"ours": [], "plain": []}

    class Measure(lightning.Callback):
        def on_train_epoch_start(self, trainer, model):
            wait()
            self.start = time.perf_counter()

        def on_train_epoch_end(self, trainer, model):
            wait()
            times["ours"].append((time.perf_counter() - self.start) * epoch / steps)
            times["plain"].append(plain_block())

    train(config, data, Measure(), rounds + 1)
    of = config["model"]
    name = f"{of['num_layers']} layers, h = {of['hidden_channels']}, batch {batch}, {epoch:,} steps ({steps} measured)"
    # The first block of each warms up.
    return name, times["ours"][1:], times["plain"][1:]


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], data_dir="data", device="cpu")
