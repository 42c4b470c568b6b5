"""The time of a DCGAN iteration here (MNIST's size, batch 64), against plain PyTorch loops, for k = 1 and k = 5.

Ours is the whole of `train.py`'s step: trainer, progress, CSV and TensorBoard loggers, timing, averaged weights,
gradient norms. The plain loops have the same networks, optimizers and in-memory images, and sum up both losses. The
`usual` one is the textbook's, whose generator step computes gradients of the discriminator's weights that nobody uses;
the `frugal` one does not. An iteration is k steps of the discriminator and one of the generator. Blocks of iterations
run in turn.

    uv run benchmarks/adversarial.py --data-dir ../shared/data
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any

from harness import main, row
from trainer import composed, train


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for k in (1, 5):
        times = measured(k, arguments)
        for rival in ("frugal", "usual"):
            yield row(f"k = {k}: {rival} plain loop", times["ours"], times[rival], device=arguments.device)


def measured(k: int, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds per iteration of ours and of the two loops, block by block."""
    import lightning
    import torch
    import torch.nn.functional as F

    from pmodel.instantiate import instantiate

    iterations = (4 if arguments.quick else 20) // (1 if k == 1 else 2)
    rounds = 2 if arguments.quick else 7
    config, data = composed(
        arguments,
        *("model=dcgan", f"model.num_discriminator_steps={k}", "data=mnist", "data.batch_size=64"),
        *("~callbacks.figures", "~callbacks.frechet", "~callbacks.final", "~callbacks.health"),
        f"trainer.limit_train_batches={k * iterations}",
    )
    images = data._split("train")[0].to(arguments.device)

    def plain_loop(frugal: bool):
        """A block of iterations, as a function that gives its seconds per iteration."""
        lightning.seed_everything(0, verbose=False)
        model = instantiate(config["model"]).to(arguments.device)
        G, D = model.generator, model.discriminator
        optimizers = {
            player: instantiate(config["model"]["optimizer"][player], network.parameters())
            for player, network in (("generator", G), ("discriminator", D))
        }
        totals = torch.zeros(2, device=arguments.device)

        def noise():
            return (2 * torch.rand(64, 100, device=arguments.device) - 1) * 3**0.5

        def block() -> float:
            order = torch.randperm(len(images))[: 64 * k * iterations].to(arguments.device).split(64)
            start = time.perf_counter()
            for i, index in enumerate(order):
                x = images[index].float() / 127.5 - 1
                with torch.no_grad():
                    fake = G(noise()).tanh()
                loss = F.softplus(-D(x)).mean() + F.softplus(D(fake)).mean()
                optimizers["discriminator"].zero_grad()
                loss.backward()
                optimizers["discriminator"].step()
                totals[0] += loss.detach()
                if (i + 1) % k:
                    continue
                if frugal:
                    D.requires_grad_(False)
                loss = F.softplus(-D(G(noise()).tanh())).mean()
                optimizers["generator"].zero_grad()
                loss.backward()
                optimizers["generator"].step()
                totals[1] += loss.detach()
                D.requires_grad_(True)
            totals.tolist()  # waits for the device
            return (time.perf_counter() - start) / iterations

        return block

    rivals = {"frugal": plain_loop(True), "usual": plain_loop(False)}
    times: dict[str, list[float]] = {"ours": [], **{name: [] for name in rivals}}

    class Measure(lightning.Callback):
        def on_train_epoch_start(self, trainer, model):
            self.start = time.perf_counter()

        def on_train_epoch_end(self, trainer, model):
            times["ours"].append((time.perf_counter() - self.start) / iterations)
            for name, block in rivals.items():
                times[name].append(block())

    train(config, data, Measure(), rounds + 1)
    # The first block of each warms up.
    return {name: values[1:] for name, values in times.items()}


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], data_dir="data", device="cpu")
