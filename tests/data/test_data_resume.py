"""A run that goes on from a checkpoint sees exactly what an uninterrupted one would have seen from there."""

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from support import IMAGES, fit

BATCHES_PER_EPOCH = 6  # 22 examples in batches of 4


class Recorder(LightningModule):
    """Keeps the labels and images of each training batch, and counts validation epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.validations = [], 0

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch.label.tolist(), batch.x.flatten().tolist()))
        return self.weight * batch.x.sum()

    def validation_step(self, batch, batch_idx):
        pass

    def on_validation_epoch_end(self) -> None:
        self.validations += 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAt(Callback):
    """Writes a checkpoint when a hook is called after a number of steps."""

    def __init__(self, hook: str, step: int, path) -> None:
        self.step, self.path = step, path
        setattr(self, hook, self._save)

    def _save(self, trainer, *_) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def run(data, callbacks=(), ckpt_path=None, **settings) -> Recorder:
    model = Recorder()
    fit(model, data, ckpt_path, callbacks=list(callbacks), **{"max_epochs": 4} | settings)
    return model


@pytest.mark.parametrize(
    ("hook", "step"),
    [
        *(("on_train_batch_end", step) for step in (1, 8, 12)),
        *(("on_validation_end", step) for step in (6, 12)),
        *(("on_train_epoch_end", step) for step in (6, 18)),
    ],
)
def test_resumed_run_sees_the_rest_of_the_uninterrupted_run(numbered, tmp_path, hook, step):
    settings = {"binarize": "dynamic", "num_levels": 2, "seed": 3}
    whole = run(numbered(**settings), [SaveAt(hook, step, tmp_path / "a.ckpt")])
    assert len(whole.seen) == 4 * BATCHES_PER_EPOCH
    resumed = run(numbered(**settings), ckpt_path=tmp_path / "a.ckpt")
    assert resumed.seen == whole.seen[step:]


def test_run_resumed_twice_sees_the_rest_of_the_uninterrupted_run(numbered, tmp_path):
    whole = run(numbered(), [SaveAt("on_train_batch_end", 8, tmp_path / "a.ckpt")])
    run(numbered(), [SaveAt("on_train_batch_end", 10, tmp_path / "b.ckpt")], ckpt_path=tmp_path / "a.ckpt")
    assert run(numbered(), ckpt_path=tmp_path / "b.ckpt").seen == whole.seen[10:]


@pytest.mark.parametrize("hook", ["on_validation_end", "on_train_epoch_end"])
@pytest.mark.parametrize("limit", [3, 0.5])
def test_epoch_that_the_trainer_cut_short_is_over_after_a_resume(numbered, tmp_path, hook, limit):
    whole = run(numbered(), [SaveAt(hook, 6, tmp_path / "a.ckpt")], limit_train_batches=limit)
    resumed = run(numbered(), ckpt_path=tmp_path / "a.ckpt", limit_train_batches=limit)
    assert len(whole.seen) == 4 * 3
    assert resumed.seen == whole.seen[6:]


def test_resumed_after_max_steps_mid_epoch_goes_on_with_the_rest_of_the_epoch(numbered, tmp_path):
    whole = run(numbered(), max_steps=20, max_epochs=-1)
    run(numbered(), [SaveAt("on_train_end", 8, tmp_path / "a.ckpt")], max_steps=8, max_epochs=-1)
    resumed = run(numbered(), ckpt_path=tmp_path / "a.ckpt", max_steps=20, max_epochs=-1)
    assert [seen[1:] for seen in resumed.seen] == [seen[1:] for seen in whole.seen[8:]]


def test_overfitting_trainer_repeats_the_same_batches(numbered):
    seen = run(numbered(), overfit_batches=2).seen
    assert [labels for _, labels, _ in seen] == [labels for _, labels, _ in seen[:2]] * 4


def test_trainer_runs_without_a_validation_split(numbered):
    class NoValidation(type(numbered())):
        def load(self, split):
            x, label = super().load(split)
            return (x[:0], label[:0]) if split == "validation" else (x, label)

    data = NoValidation(**{**IMAGES, "shape": [1, 1, 2], "num_levels": 256})
    assert data.val_dataloader() == []
    assert run(data, max_epochs=1).validations == 0
