"""What tests call to compose a config and to build from it."""

from pathlib import Path
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import OmegaConf

from pmodel.config import CONFIG_DIR
from pmodel.data.base import InMemoryDataModule
from pmodel.resolvers import register_resolvers

ROOT = Path(__file__).parents[1]


def config(*overrides: str, name: str = "train") -> dict[str, Any]:
    """The composed, resolved config as plain dicts."""
    register_resolvers()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        named = ["name=test"] if name == "train" else []
        composed = compose(name, [*named, "paths.run_dir=unused", *overrides])
    return OmegaConf.to_container(composed, resolve=True)


def build(*overrides: str) -> tuple[Any, Any]:
    """The model and the data module of a config."""
    from pmodel.instantiate import instantiate

    plain = config(*overrides)
    return instantiate(plain["model"]), instantiate(plain["data"])


def run_directory(root: Path) -> Path:
    """The one run directory below a folder."""
    (status,) = root.glob("**/status.json")
    return status.parent


def array_data(
    x: torch.Tensor, batch_size: int = 64, num_validation: int = 0, num_levels: int | None = None
) -> InMemoryDataModule:
    """A data module whose training split is x (N, …), and whose validation split are its first examples."""
    return _ArrayData(x, batch_size, num_validation, num_levels)


class _ArrayData(InMemoryDataModule):
    source = "array"

    def __init__(self, x: torch.Tensor, batch_size: int, num_validation: int, num_levels: int | None):
        self.source_levels = num_levels
        super().__init__(list(x.shape[1:]), num_levels, batch_size)
        self.parts = {"train": x, "validation": x[:num_validation]}

    def load(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.parts[split]
        return x, torch.full((len(x),), -1)


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
