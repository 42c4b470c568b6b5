"""What a checkpoint keeps of the generators and of metrics.csv, for each process."""

import random
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from built import KMeans, LastCheckpoint
from lightning.pytorch import Callback
from support import StopAt, array_data, build, fit, on_two_processes

from pmodel.callbacks.resume import ExactResume, random_states, restore_random_states
from pmodel.callbacks.timing import Timing
from pmodel.commands.strategies import StreamingDDP
from pmodel.data.batch import StepBatch
from pmodel.loggers.csv import CSVLogger


def draws() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(())),
    ]


def test_every_generator_goes_on_where_it_was():
    random.gauss(0, 1), np.random.randn()  # each keeps a second draw
    states = random_states()
    expected = draws()
    assert draws() != expected
    restore_random_states(states)
    assert draws() == expected


class Draws(Callback):
    """Draws after each step, on each process from another state."""

    def __init__(self) -> None:
        self.drawn: list[list[float]] = []

    def on_train_start(self, trainer: Any, model: Any) -> None:
        lightning.seed_everything(trainer.global_rank, verbose=False)

    def on_train_batch_end(self, *args: Any) -> None:
        self.drawn.append(draws())


def run(folder: Path, *callbacks: Callback, devices: int = 1, resume: bool = False) -> list[list[float]]:
    own = Draws()
    settings = {"strategy": StreamingDDP(), "devices": devices} if devices > 1 else {}
    lightning.seed_everything(0, verbose=False)
    data = array_data(torch.rand(40, 2), 10)
    # ExactResume restores after the other callback has set the states.
    callbacks = [own, ExactResume(), *callbacks]
    with suppress(InterruptedError):
        fit(KMeans([2], 2), data, folder / "stop.ckpt" if resume else None, callbacks=callbacks, **settings)
    return own.drawn


def on_rank(folder: Path, rank: int) -> dict[str, Any]:
    stop = StopAt(3, folder / "stop.ckpt")
    return {
        "whole": run(folder, devices=2),
        "cut": run(folder, stop, devices=2),
        "rest": run(folder, devices=2, resume=True),
    }


def test_each_of_two_processes_goes_on_with_its_own_generators(tmp_path):
    ranks = on_two_processes(partial(on_rank, tmp_path), tmp_path)
    for rank in ranks:
        assert rank["cut"] == rank["whole"][:3]
        assert rank["rest"] == rank["whole"][3:]
    assert ranks[0]["whole"] != ranks[1]["whole"]
    # One process goes on with those of the first.
    assert run(tmp_path, resume=True) == ranks[0]["whole"][3:]


SMALL = ["model.latent_dim=3", "model.network.encoder.hidden_dims=[8]", "model.network.decoder.hidden_dims=[8]"]

VAE = ["model=vae", *SMALL]
# The generator's third step is shown in the fourth row, of a step without one.
GAN = ["model=gan", "model.num_discriminator_steps=3"]


def logged(
    folder: Path, checkpoint: Path | None = None, *callbacks: Callback, overrides: Sequence[str] = VAE, **settings: Any
) -> list[str]:
    """metrics.csv of a training of 4 epochs of 3 steps, without the times."""
    lightning.seed_everything(1, verbose=False)
    model, data = build(*overrides, "data.limit=96", "data.batch_size=32")
    trainer = lightning.Trainer(
        **{"max_epochs": 4, "log_every_n_steps": 2, **settings},
        accelerator="cpu",
        default_root_dir=folder,
        logger=[CSVLogger(str(folder))],
        callbacks=[ExactResume(), *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return (folder / "metrics.csv").read_text().splitlines()


class Kill(StopAt):
    """Saves a checkpoint after so many steps, keeps metrics.csv as it is then, and goes on."""

    def _save(self, trainer: lightning.Trainer) -> None:
        if not self.path.exists():
            trainer.save_checkpoint(self.path)
            self.path.with_suffix(".csv").write_bytes((self.path.parent / "metrics.csv").read_bytes())


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        *[({}, step) for step in (2, 3, 4, 5, 6, 9)],
        *[({"max_steps": 12}, step) for step in (2, 3, 8)],
        *[({"accumulate_grad_batches": 3}, step) for step in (2, 3)],
        *[({"overrides": GAN}, step) for step in (3, 7)],
    ],
)
def test_metrics_of_a_resumed_run_are_those_of_one_that_was_never_cut(settings, step, tmp_path):
    whole_folder, folder = tmp_path / "whole", tmp_path / "cut"
    folder.mkdir()
    whole = logged(whole_folder, **settings)
    kill = Kill(step, folder / "stop.ckpt")
    assert logged(folder, None, kill, **settings) == whole
    # As if the process had been killed right after the checkpoint: nothing that came later was written.
    at_the_checkpoint = (folder / "stop.csv").read_bytes()
    (folder / "metrics.csv").write_bytes(at_the_checkpoint)
    assert logged(folder, folder / "stop.ckpt", **settings) == whole
    # As if it had gone on, and had logged other numbers than its successor.
    (folder / "metrics.csv").write_bytes(at_the_checkpoint)
    rows = CSVLogger(str(folder))
    for later in range(step, 12):
        rows.log_metrics({"step/loss": -1.0, "train/other": later}, later)
    rows.flush()
    assert logged(folder, folder / "stop.ckpt", **settings) == whole


def test_examples_are_counted_over_all_devices():
    class Alone:
        is_last_batch, world_size = False, 2

    timing = Timing()
    for first, count in ((0, 16), (16, 17)):
        timing.on_train_batch_end(
            Alone(), None, None, StepBatch(torch.zeros(count, 1), torch.zeros(count), first, 33), 0
        )
    timing.on_train_batch_end(Alone(), None, None, StepBatch(torch.zeros(5, 1), torch.zeros(5)), 0)
    assert timing.examples == 33 + 33 + 5


class Ends(Callback):
    """Counts the steps and the ends of a training, and draws at its end."""

    def __init__(self) -> None:
        self.steps, self.drawn = 0, []

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps += 1

    def on_train_end(self, *args: Any) -> None:
        self.drawn.append(torch.rand(3))


@pytest.mark.parametrize(("settings", "steps"), [({"max_epochs": 2}, 6), ({"max_steps": 4}, 4), ({"max_steps": 6}, 6)])
def test_a_run_that_was_cut_after_its_last_step_takes_none_and_ends_once_more(settings, steps, tmp_path):
    settings = {"max_epochs": -1, **settings}
    overrides = ["model=vae", *SMALL, "data.limit=96", "data.batch_size=32"]
    whole, again, further = Ends(), Ends(), Ends()
    lightning.seed_everything(1, verbose=False)
    saving = [whole, ExactResume(), LastCheckpoint(str(tmp_path / "last.ckpt"))]
    before = fit(*build(*overrides), callbacks=saving, **settings)
    resumed = fit(*build(*overrides), tmp_path / "last.ckpt", callbacks=[again, ExactResume()], **settings)
    assert (whole.steps, again.steps) == (steps, 0)
    assert [len(end.drawn) for end in (whole, again)] == [1, 1]
    assert torch.equal(whole.drawn[0], again.drawn[0])
    if steps % 3 == 0:  # else Lightning counts the epoch that was cut as done
        assert resumed.current_epoch == before.current_epoch
    assert (resumed.max_epochs, resumed.max_steps) == (before.max_epochs, before.max_steps)
    more = {name: value + 3 if value > 0 else value for name, value in settings.items()}
    fit(*build(*overrides), tmp_path / "last.ckpt", callbacks=[further, ExactResume()], **more)
    assert further.steps == (9 if "max_epochs" in settings and settings["max_epochs"] > 0 else 3)


def test_a_fit_that_had_converged_stays_as_it_is(tmp_path):
    lightning.seed_everything(0, verbose=False)
    x, path = torch.rand(60, 2), tmp_path / "last.ckpt"
    model = KMeans([2], 3, tolerance=1e-3)
    callbacks = [ExactResume(), LastCheckpoint(str(path))]
    first = fit(model, array_data(x, 20), max_epochs=100, callbacks=callbacks)
    assert first.current_epoch < 100
    resumed = KMeans([2], 3, tolerance=1e-3)
    again = fit(resumed, array_data(x, 20), path, max_epochs=100, callbacks=[ExactResume()])
    assert again.global_step == first.global_step
    assert torch.equal(resumed.num_refits, model.num_refits)
    stricter = KMeans([2], 3, tolerance=0)
    assert (
        fit(stricter, array_data(x, 20), path, max_epochs=100, callbacks=[ExactResume()]).global_step
        > first.global_step
    )
