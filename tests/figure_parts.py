"""As much of a trainer, of models and of data as figures ask for, and what figures draw with."""

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from support import source

from pmodel.data.base import InMemoryDataModule
from pmodel.data.batch import Batch
from pmodel.figures.figure import Scene

CPU = torch.device("cpu")


class FakeTrainer:
    """An epoch has ten batches."""

    global_step = 0  # as for a model without an optimizer
    callbacks: ClassVar[list] = []
    loggers: ClassVar[list] = []

    def __init__(self, datamodule=None, model=None, epochs=1):
        self.datamodule, self.lightning_module = datamodule, model
        self.go_to(epochs)

    def go_to(self, epochs, batches=None):
        batches = batches or 10 * epochs
        processed = SimpleNamespace(processed=batches)
        self.fit_loop = SimpleNamespace(
            epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=epochs)),
            epoch_loop=SimpleNamespace(batch_progress=SimpleNamespace(total=processed), _batches_that_stepped=batches),
        )


class FakeModel(torch.nn.Module):
    """Answers the questions that are given."""

    device, fitted, monitor = CPU, True, "val/loss"
    units: ClassVar[dict[str, str]] = {}

    def __init__(self, **answers: Any):
        super().__init__()
        for name, answer in answers.items():
            setattr(self, name, answer)


def data_of(
    train: torch.Tensor, validation: torch.Tensor, num_levels: int | None = 3, class_names: tuple | None = None
) -> SimpleNamespace:
    """These examples, without labels."""
    parts = {"train": train, "validation": validation}
    return SimpleNamespace(
        examples=lambda split, n: Batch(parts[split][:n], torch.zeros(len(parts[split][:n]))),
        shape=tuple(train.shape[1:]),
        num_levels=num_levels,
        class_names=class_names,
        num_classes=None if class_names is None else len(class_names),
        split_sizes={split: len(x) for split, x in parts.items()},
    )


def labelled(x: torch.Tensor, label: torch.Tensor, class_names: tuple[str, ...] | None = None) -> Scene:
    """These validation examples with their labels, after three epochs."""
    data = data_of(x, x, class_names=class_names)
    data.examples = lambda split, n: Batch(x[:n], label[:n])
    return Scene(data, 3)


def flat(D: int, **answers: Any) -> FakeModel:
    """Codes are the first D pixels."""
    return FakeModel(encode=lambda x: x.flatten(1)[:, :D], **answers)


def points(D: int, **settings: Any) -> InMemoryDataModule:
    """200 training and 100 validation points of a distribution on the line or in the plane."""
    plain = {"name": "mixture_1d" if D == 1 else "ring", "num_train": 200, "num_validation": 100}
    data = source("points", shape=[D], **(plain | settings))
    data.setup("fit")
    return data


def noted(monkeypatch: pytest.MonkeyPatch, *places: str) -> list[tuple]:
    """What functions at these places, "module.function" in pmodel, are given from now on; they give a small image."""
    calls = []

    def draw(*args, **kwargs):
        calls.append((*args, *kwargs.values()))
        return np.zeros((4, 4, 3), np.uint8)

    for place in places:
        monkeypatch.setattr(f"pmodel.{place}", draw)
    return calls


def is_drawn(image: np.ndarray) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.std() > 0
