"""What tests call to compose a config and to build from it."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import lightning
import pytest
import torch
from forked import server
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import OmegaConf

from pmodel import build as build_one
from pmodel.config.resolvers import register_resolvers
from pmodel.data.base import InMemoryDataModule
from pmodel.data.images import ImageDataModule
from pmodel.runs.typed import CONFIG_DIR

ROOT = Path(__file__).parents[1]


# Models that take binary images alone.
BINARY = ("bernoulli_mixture",)


def digits_for(*words: str) -> list[str]:
    """The smallest images, as what is typed takes them."""
    binary = any(f"model={name}" in words for name in BINARY)
    return ["data=digits", *(["data.binarize=dynamic"] if binary else [])]


def on_digits(words: Sequence[str]) -> list[str]:
    """What is typed to train.py, on the smallest images where it names no data."""
    names_data = any(word.startswith(("data=", "experiment=", "sweep=", "resume=")) for word in words)
    return list(words) if names_data else [*digits_for(*words), *words]


def config(*overrides: str, name: str = "train") -> dict[str, Any]:
    """The composed, resolved config as plain dicts."""
    register_resolvers()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        named = ["name=test"] if name == "train" else []
        small = on_digits(overrides) if name == "train" else overrides
        composed = compose(name, [*named, "paths.run_dir=unused", *small])
    return OmegaConf.to_container(composed, resolve=True)


def source(option: str, **settings: Any) -> Any:
    """The data module of an option of the group data: all training examples for training, in batches of 128, with
    seed 0 and nothing drawn, but for what is given."""
    plain = {"batch_size": 128, "seed": 0}
    if not option.startswith(("points", "table")):
        plain |= {"binarize": "none"}
    if option in ("mnist", "fashion_mnist", "cifar10"):
        plain |= {"num_validation": 0}
    if option not in ("celeba", "table", "points", "points_1d"):
        plain |= {"label_seed": 0}
    return build_one(f"data={option}", **{**plain, **settings})


# What data modules of tests have for settings, besides the shape, the levels and what they are about.
POINTS = {
    "batch_size": 128,
    "eval_batch_size": 500,
    "limit": None,
    "split_seed": 0,
    "seed": 0,
    "num_classes": None,
    "redraw": True,
}
IMAGES = {
    **POINTS,
    "binarize": "none",
    "dequantize": False,
    "flip": False,
    "num_validation": 0,
    "num_labels": None,
    "label_seed": 0,
}


def build(*overrides: str) -> tuple[Any, Any]:
    """The model and the data module of a config."""
    from pmodel.instantiate import instantiate

    plain = config(*overrides)
    return instantiate(plain["model"]), instantiate(plain["data"])


def loaded(script: Path) -> ModuleType:
    """A file of Python that lies in no package, as a module."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_directory(root: Path) -> Path:
    """The one run directory below a folder."""
    (status,) = root.glob("**/status.json")
    return status.parent


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Standard normal numbers, the same each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def array_data(
    x: torch.Tensor, batch_size: int = 64, num_validation: int = 0, num_levels: int | None = None
) -> InMemoryDataModule:
    """A data module whose training split is x (N, …), and whose validation split are its first examples."""
    of, settings = (_ArrayPoints, POINTS) if num_levels is None else (_ArrayImages, IMAGES)
    of.source_levels = num_levels
    own = {"shape": list(x.shape[1:]), "num_levels": num_levels, "batch_size": batch_size}
    data = of(**{**settings, **own})
    data.parts = {"train": x, "validation": x[:num_validation]}
    return data


class _ArrayPoints(InMemoryDataModule):
    source, source_levels = "array", None

    def load(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.parts[split]
        return x, torch.full((len(x),), -1)


class _ArrayImages(ImageDataModule):
    source, load = "array", _ArrayPoints.load


def fit(model: Any, data: Any, checkpoint: Path | None = None, **settings: Any) -> lightning.Trainer:
    """Trains on the CPU, quietly, and without files of its own."""
    callbacks = settings.get("callbacks", [])
    trainer = lightning.Trainer(
        **{"max_epochs": 2, "log_every_n_steps": 1, "accelerator": "cpu", "num_sanity_val_steps": 0, **settings},
        logger=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return trainer


class StopAt(Checkpoint):
    """Saves a checkpoint after so many steps, at an epoch's end or inside of one, and ends the training there."""

    def __init__(self, step: int, path: Path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            self._save(trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        raise InterruptedError


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def on_two_processes(work: Callable[[int], dict], folder: Path, timeout: float = 600) -> list[dict]:
    """What `work(rank)` returns, tensors and plain values, in each of two processes that Lightning takes for its own.

    They are forked, since to start Python and to import everything takes far longer than what tests do there.
    """
    function = work.func if isinstance(work, partial) else work
    cloudpickle.register_pickle_by_value(sys.modules[function.__module__])
    sent = cloudpickle.dumps(work)
    port = free_port()
    files = [folder / f"rank_{rank}.pt" for rank in range(2)]
    # The server has the environment of whoever started it first.
    given = (sent, port, dict(os.environ))
    processes = [server.Process(target=_as_rank, args=(*given, rank, file)) for rank, file in enumerate(files)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for process in processes:
            process.start()
    deadline = time.monotonic() + timeout
    try:
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
        codes = [process.exitcode for process in processes]
        assert codes == [0, 0], "\n".join(f.read_text() for f in folder.glob("rank_*.txt")) or f"exit codes {codes}"
    finally:
        for process in processes:
            process.kill()
    return [torch.load(file, weights_only=True) for file in files]


def _as_rank(sent: bytes, port: str, environment: dict[str, str], rank: int, file: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "NODE_RANK": "0"}
    os.environ.update(shared | {"LOCAL_RANK": str(rank)})
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        torch.save(cloudpickle.loads(sent)(rank), file)
    except BaseException:
        file.with_suffix(".txt").write_text(f"rank {rank}\n{traceback.format_exc()}")
        os._exit(1)  # the other one may wait in vain, and is killed
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size; skips where nothing can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
