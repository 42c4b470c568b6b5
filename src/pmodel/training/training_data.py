"""What a model asks of the data that it is trained on: a data module of ours, or a plain loader of tensors."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Generator, Tensor
from torch.utils.data import DistributedSampler, IterableDataset, RandomSampler, SequentialSampler

from pmodel.data.batch import Batch, as_step_batch


class PlainLoaders:
    """The data of a `lightning.Trainer` whose loaders are not ours; they yield what `as_step_batch` takes."""

    # Their coordinates are the model's, and they know no advice.
    log_volume = 0.0
    advice: str | None = None

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    @property
    def split_sizes(self) -> dict[str, int]:
        """The number of examples of each split, where its loader takes all of its data set."""
        loaders = {split: self._loader(split) for split in ("train", "validation")}
        return {split: len(loader.dataset) for split, loader in loaders.items() if _takes_all(loader)}

    def examples(self, split: str, n: int, seed: int | None = None) -> Batch:
        """The first n examples of a split (all, if it has fewer), on the CPU; with a seed, n drawn by it at random.

        Where a loader has a sampler of its own, or a data set without positions: always the first n that it gives.

        Raises:
            ValueError: where that would be others on each of several devices.
        """
        loader = self._loader(split)
        if loader is None:
            return Batch(torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        if not _takes_all(loader) and self.trainer.world_size > 1:
            raise ValueError(
                f"trainer.devices={self.trainer.world_size}: expected 1 with a sampler of the loader's own"
            )
        batches = _drawn(loader, n, seed) if _takes_all(loader) else _first(loader, n)
        x, label = zip(*((batch.x, batch.label) for batch in map(as_step_batch, batches)), strict=True)
        return Batch(torch.cat(x)[:n], torch.cat(label)[:n])

    def _loader(self, split: str) -> Any:
        loop = self.trainer.fit_loop
        if split == "train":
            loop.setup_data()  # does nothing the second time
            return self.trainer.train_dataloader
        if not self.trainer.enable_validation:
            return None
        loop.epoch_loop.val_loop.setup_data()
        loaders = self.trainer.val_dataloaders
        return loaders[0] if isinstance(loaders, list | tuple) else loaders


def data_of(trainer: Trainer) -> Any:
    """The data module that a trainer was given, or what stands for one; see `InMemoryDataModule`."""
    module = getattr(trainer, "datamodule", None)
    return module if callable(getattr(module, "examples_at", None)) else PlainLoaders(trainer)


def _takes_all(loader: Any) -> bool:
    """Whether each epoch of a loader is all of its data set, whose examples have positions."""
    sampler = getattr(loader, "sampler", None)
    return (
        getattr(loader, "batch_sampler", None) is not None
        and not isinstance(loader.dataset, IterableDataset)
        and type(sampler) in (SequentialSampler, RandomSampler, DistributedSampler)
        and not getattr(sampler, "replacement", False)
        and getattr(sampler, "_num_samples", None) is None
    )


def _drawn(loader: Any, n: int, seed: int | None) -> list[Any]:
    size = len(loader.dataset)
    order = range(size) if seed is None else torch.randperm(size, generator=Generator().manual_seed(seed)).tolist()
    return [loader.collate_fn([loader.dataset[i] for i in order[:n]])]


def _first(loader: Any, n: int) -> Iterator[Any]:
    count = 0
    for batch in loader:
        yield batch
        count += len(batch if isinstance(batch, Tensor) else batch[0])
        if count >= n:
            return
