"""Early stopping: after which measurement, why, and what a resumed run does."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from built import FrechetDistance
from support import StopAt, build, fit, on_two_processes, run_directory

from pmodel.callbacks.early_stopping import EarlyStopping
from pmodel.callbacks.resume import ExactResume

SMALL = [
    *("data.limit=32", "data.batch_size=16", "model.latent_dim=2"),
    *("model.network.encoder.hidden_dims=[4]", "model.network.decoder.hidden_dims=[4]"),
]
# Improves in epochs 1, 2, 3 and 6, by 1, and in epoch 8 by 0.1.
SCRIPT = [5.0, 4.0, 3.0, 3.5, 3.0, 2.0, 2.0, 1.9, 2.0, 2.0, 2.0, 2.0]


def scripted(*overrides: str, sign: int = 1) -> tuple[Any, Any]:
    """A model whose validation brings the numbers of the script, and its data."""
    model, data = build("model=vae", *SMALL, *overrides)
    model.terms = lambda batch: {"loss": torch.full((len(batch.x),), sign * SCRIPT[model.trainer.current_epoch])}
    return model, data


def stopped(patience: int, min_delta: float = 0.0, sign: int = 1, **settings: Any) -> tuple[int, str | None]:
    """After how many epochs training ended, and why."""
    model, data = scripted(sign=sign)
    model.monitor_mode = {1: "min", -1: "max"}[sign]
    trainer = fit(model, data, max_epochs=12, callbacks=[EarlyStopping(patience, min_delta)], **settings)
    return trainer.current_epoch, model.ending


def test_it_ends_after_so_many_measurements_without_an_improvement():
    reason = "stopped early: val/loss has not improved"
    assert stopped(2) == (5, f"{reason} for 2 epochs (best 3 after epoch 3)")
    assert stopped(3, 0.5) == (9, f"{reason} by more than 0.5 for 3 epochs (2 after epoch 6)")
    assert stopped(3, sign=-1) == (11, f"{reason} for 3 epochs (best -1.9 after epoch 8)")
    assert stopped(5) == (12, None)


def test_an_old_number_is_no_measurement():
    """Validation after epochs 2, 4, 6, 8, 10: 4, 3.5, 2, 1.9, 2."""
    reason = "stopped early: val/loss has not improved by more than 0.4 for 2 measurements (4 epochs) (2 after epoch 6)"
    assert stopped(2, 0.4, check_val_every_n_epoch=2) == (10, reason)


def callbacks_with(*others: Any) -> list[Any]:
    return [EarlyStopping(3, 0.5), ExactResume(), *others]


@pytest.mark.parametrize("step", [8, 9])
def test_a_run_that_was_cut_ends_where_it_would_have_ended(step, tmp_path):
    """Two steps an epoch, with a wait of 1 after epoch 4, at step 8."""
    with pytest.raises(InterruptedError):
        fit(*scripted(), max_epochs=12, callbacks=callbacks_with(StopAt(step, tmp_path / "cut.ckpt")))
    ends = []
    for checkpoint in (None, tmp_path / "cut.ckpt"):
        model, data = scripted()
        callbacks = callbacks_with()
        trainer = fit(model, data, checkpoint, max_epochs=12, callbacks=callbacks)
        ends.append((trainer.current_epoch, trainer.global_step, model.ending, callbacks[0].state_dict()))
    assert ends[0] == ends[1]
    assert ends[0][0] == 9


def test_a_frechet_distance_counts_in_the_epochs_that_measure_it(monkeypatch):
    measured = iter([5.0, 4.0, 4.5, 4.0])
    monkeypatch.setattr("pmodel.callbacks.frechet.FrechetDistance._measure", lambda *_: next(measured))
    small = ["model.players.generator.hidden_dims=[4]", "model.players.discriminator.hidden_dims=[4]"]
    model, data = build("model=gan", "data=points", "data.num_train=32", "data.num_validation=32", *small)
    callbacks = [FrechetDistance(every_n_epochs=2, cache_dir=None), EarlyStopping(2, 0.0)]
    trainer = fit(model, data, max_epochs=12, callbacks=callbacks)
    # After epochs 1, 2, 4, 6.
    assert trainer.current_epoch == 6
    expected = "stopped early: val/frechet has not improved for 2 measurements (4 epochs) (best 4 after epoch 2)"
    assert model.ending == expected


@pytest.mark.parametrize(
    ("overrides", "callbacks", "settings", "said"),
    [
        (["data.num_validation=0"], [], {}, "val/loss needs validation examples, and the data have none"),
        ([], [], {"limit_val_batches": 0}, "nothing measures val/loss with trainer.limit_val_batches=0"),
        (["model=gan", "data=points"], [], {}, "nothing has measured val/frechet before it"),
        (["model=gan", "data=points"], ["behind"], {}, "callbacks=[default,early_stopping]"),
    ],
)
def test_a_monitor_that_nothing_measures_is_refused_in_one_line(overrides, callbacks, settings, said):
    behind = [FrechetDistance(cache_dir=None) for _ in callbacks]
    with pytest.raises(ValueError, match=r"^callbacks\.early_stopping: ") as error:
        fit(*build(*overrides), callbacks=[EarlyStopping(1, 0.0), *behind], **settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "ending"),
    [(["model=kmeans", "model.num_clusters=6"], "converged"), (["model=gmm"], "stopped early: val/nll")],
)
def test_a_model_that_follows_its_training_examples_ends_when_it_has_converged(words, ending):
    model, data = build(*words, "model.start=random", "data=points", "data.name=moons", "data.num_train=400")
    trainer = fit(model, data, max_epochs=300, callbacks=[EarlyStopping(1, 100.0)])
    assert model.ending.startswith(ending)
    assert (trainer.current_epoch > 2) == (ending == "converged")


def test_another_training_of_the_model_says_nothing_of_the_first():
    model, data = scripted()
    fit(model, data, max_epochs=2, callbacks=[EarlyStopping(1, 9.0)])
    assert model.ending is not None
    fit(model, data, max_epochs=1)
    assert model.ending is None


def train_on_two(rank: int) -> dict[str, Any]:
    lightning.seed_everything(0, verbose=False)
    model, data = scripted()
    settings = {"devices": 2, "strategy": "ddp", "use_distributed_sampler": False}
    trainer = fit(model, data, max_epochs=12, callbacks=[EarlyStopping(2, 0.0)], **settings)
    return {"epochs": trainer.current_epoch, "ending": model.ending}


def test_two_processes_end_after_the_same_epoch(tmp_path):
    first, second = on_two_processes(partial(train_on_two), tmp_path)
    assert first == second
    assert first["epochs"] == 5


def test_the_command_line_says_why_it_ended_and_a_larger_patience_goes_on(train, tmp_path):
    words = [*SMALL, "trainer.max_epochs=9", "logger=none", "callbacks=[minimal,early_stopping]"]
    least = "callbacks.early_stopping.min_delta=1e9"  # nothing improves after the first epoch
    outcome = train(*words, least, "callbacks.early_stopping.patience=2")
    run = run_directory(tmp_path)
    reason = "stopped early: val/loss has not improved by more than 1e+09 for 2 epochs ("
    assert outcome.code == 0
    assert f"\n{reason}" in outcome.out

    def ended() -> tuple[int, str]:
        status = json.loads((run / "status.json").read_text())
        epochs = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["epoch"] + 1
        return epochs, status.get("reason", "")

    assert ended() == (3, next(line for line in outcome.out.splitlines() if line.startswith(reason)))
    assert reason in (run / "train.log").read_text()
    before = Path(run / "checkpoints/last.ckpt").read_bytes()
    refused = train(f"resume={run}")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "add callbacks.early_stopping.patience=… for more" in refused.err
    again = train(f"resume={run}", "trainer.max_epochs=20")
    assert (again.code, ended()[0]) == (0, 3)
    assert reason in again.out
    assert Path(run / "checkpoints/last.ckpt").read_bytes() == before
    assert train(f"resume={run}", "callbacks.early_stopping.patience=4").code == 0
    assert ended() == (5, ended()[1])
    assert "for 4 epochs" in ended()[1]
    assert train(f"resume={run}", "callbacks.early_stopping=null", "trainer.max_epochs=6").code == 0
    assert ended() == (6, "")


def test_a_setting_of_it_alone_says_how_it_is_added(train):
    outcome = train("callbacks.early_stopping.patience=3")
    assert outcome.code == 2
    assert outcome.err == (
        "error: callbacks.early_stopping.patience=3: type callbacks=[default,early_stopping] too, which adds it\n"
    )
