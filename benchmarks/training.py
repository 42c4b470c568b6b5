"""An MNIST epoch of the default VAE here, against a plain PyTorch loop and against torchvision's DataLoader.

Ours is the whole of `train.py`'s epoch: trainer, progress bar, CSV and TensorBoard loggers, timing; validation, figures
and checkpoints are left out on all sides. The plain loop has the same network, optimizer and batches of the same
in-memory data, and sums up the loss as ours does. Between two epochs of ours the rivals run theirs.

    uv run benchmarks/training.py --data-dir ../shared/data
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from harness import main, row


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    import lightning
    import torch
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf
    from torch.utils.data import DataLoader
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    from pmodel.callbacks.no_profiler import NoProfiler
    from pmodel.commands.quiet import quieten_libraries
    from pmodel.config.resolvers import register_resolvers
    from pmodel.instantiate import instantiate
    from pmodel.runs.typed import CONFIG_DIR

    quieten_libraries()
    warnings.filterwarnings("ignore", ".*image decoding and encoding")
    register_resolvers()
    run_dir = tempfile.mkdtemp()
    overrides = [
        *("data=mnist", "data.binarize=static", f"data_dir={Path(arguments.data_dir).absolute()}"),
        *(
            "~callbacks.figures",
            "callbacks.final.num_samples=1",
            "~callbacks.last",
            "~callbacks.best",
            "~callbacks.snapshots",
        ),
        *("name=benchmark", f"paths.run_dir={run_dir}", f"data.limit={6400 if arguments.quick else 'null'}"),
    ]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = OmegaConf.to_container(compose("train", overrides), resolve=True)

    def new_model():
        lightning.seed_everything(0, verbose=False)
        return instantiate(config["model"])

    data = instantiate(config["data"])
    data.prepare_data()
    data.setup("fit")
    images, labels = data._split("train")
    batch_size = data.batch_size
    usual = MNIST(arguments.data_dir, train=True, transform=ToTensor())
    usual.data, usual.targets = (images[:, 0] * 255), labels
    plain_model, usual_model = new_model(), new_model()
    plain_optimizer, usual_optimizer = (
        instantiate(config["model"]["optimizer"], m.parameters()) for m in (plain_model, usual_model)
    )
    total = torch.zeros((), dtype=torch.float64)

    class PlainBatch:
        def __init__(self, x: torch.Tensor):
            self.x = x

    def step(model, optimizer, x):
        loss = model.loss(PlainBatch(x))["loss"]
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        total.add_(loss.detach().sum())

    def plain_epoch() -> float:
        start = time.perf_counter()
        for index in torch.randperm(len(images)).split(batch_size):
            step(plain_model, plain_optimizer, images[index].float())
        return time.perf_counter() - start

    def usual_epoch() -> float:
        start = time.perf_counter()
        for x, _ in DataLoader(usual, batch_size, shuffle=True):
            step(usual_model, usual_optimizer, x)
        return time.perf_counter() - start

    def our_data() -> float:
        start = time.perf_counter()
        for batch in data.train_dataloader():
            data.on_after_batch_transfer(batch, 0)
        return time.perf_counter() - start

    def usual_data() -> float:
        start = time.perf_counter()
        for _ in DataLoader(usual, batch_size, shuffle=True):
            pass
        return time.perf_counter() - start

    times: dict[str, list[float]] = {"ours": [], "plain": [], "usual": []}

    class Measure(lightning.Callback):
        def on_train_epoch_start(self, trainer, model):
            self.start = time.perf_counter()

        def on_train_epoch_end(self, trainer, model):
            times["ours"].append(time.perf_counter() - self.start)
            times["plain"].append(plain_epoch())
            times["usual"].append(usual_epoch())

    rounds = 2 if arguments.quick else 5
    trainer = instantiate(
        {**config["trainer"], "max_epochs": rounds + 1, "limit_val_batches": 0, "enable_checkpointing": False},
        profiler=NoProfiler(),
        logger=[instantiate(node) for node in config["logger"].values()],
        callbacks=[Measure(), *(instantiate(node) for node in config["callbacks"].values())],
    )
    trainer.fit(new_model(), datamodule=data)
    # The first epoch of each warms up.
    ours, plain, usual_times = (times[name][1:] for name in ("ours", "plain", "usual"))
    our_path, usual_path = zip(*((our_data(), usual_data()) for _ in range(rounds)), strict=True)
    return [
        row(f"epoch, batch {batch_size}: plain loop", ours, plain),
        row(f"epoch, batch {batch_size}: torchvision DataLoader", ours, usual_times),
        row(f"data alone, batch {batch_size}: torchvision DataLoader", list(our_path), list(usual_path)),
    ]


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], data_dir="data")
