"""Learning rates: by their closed forms, of resumed trainings against fresh ones, and under a clock."""

import itertools
import math
import types
from functools import cache
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback, timer
from support import StopAt, build, config, fit

from pmodel.callbacks.resume import ExactResume
from pmodel.instantiate import instantiate
from pmodel.training import schedules
from pmodel.training.averaging import decay_at

# Four batches an epoch.
DATA = ["data.limit=64", "data.batch_size=16"]
HIDDEN = {
    "gradient": ["model.network.encoder.hidden_dims=[4]", "model.network.decoder.hidden_dims=[4]"],
    "adversarial": ["model.players.generator.hidden_dims=[4]", "model.players.discriminator.hidden_dims=[4]"],
}
# A way of training: what builds it, and after how many batches each of its optimizers steps.
WAYS = {
    "gradient": (["model=vae"], [1]),
    "game": (["model=gan", "model.num_discriminator_steps=3", "model.r1=0"], [1, 3]),
}
# The rate as a share of the first one: of the steps of an optimizer so far, all its steps, and its epochs so far.
FORMS = {
    "constant": lambda step, steps, epoch: 1.0,
    "linear": lambda step, steps, epoch: 1 - step / steps,
    "cosine": lambda step, steps, epoch: 0.5 * (1 + math.cos(math.pi * step / steps)),
    "exponential": lambda step, steps, epoch: 0.98**epoch,
}


class Rates(lightning.pytorch.Callback):
    """The rate of each optimizer in each step of a training, by the step's number."""

    def __init__(self):
        self.by_step: dict[int, list[float]] = {}

    def on_train_batch_start(self, trainer, *args):
        self.by_step[trainer.global_step] = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]


@cache
def settings(way: str, schedule: str) -> dict:
    overrides, _ = WAYS[way]
    if way == "game":
        players = [f"model/schedule@model.schedule.{player}={schedule}" for player in ("generator", "discriminator")]
        return config(*DATA, *overrides, *HIDDEN["adversarial"], *players)
    return config(*DATA, *overrides, *HIDDEN["gradient"], f"model/schedule={schedule}")


def rates(
    way: str, schedule: str, *callbacks: lightning.pytorch.Callback, checkpoint: Path | None = None, **limits
) -> dict[int, list[float]]:
    plain = settings(way, schedule)
    lightning.seed_everything(1, verbose=False)
    seen = Rates()
    limits = {"max_epochs": -1, "limit_val_batches": 0} | limits
    built = instantiate(plain["model"]), instantiate(plain["data"])
    fit(*built, checkpoint, callbacks=[ExactResume(), seen, *callbacks], **limits)
    return seen.by_step


@cache
def fresh_rates(way: str, schedule: str, **limits: int) -> dict[int, list[float]]:
    return rates(way, schedule, **limits)


def expected(way: str, schedule: str, steps: int) -> dict[int, list[float]]:
    """By the closed form, over a training of so many batches; the first rate is that of the configs."""
    _, every = WAYS[way]
    found = {}
    for step in range(steps):
        epoch = step // 4
        # A generator without a step yet keeps the schedule of its epochs.
        found[step] = [1e-3 * FORMS[schedule](step // k, max(1, math.ceil(steps / k)), epoch) for k in every]
    return found


def assert_equal(found: dict[int, list[float]], other: dict[int, list[float]], exactly: bool = True) -> None:
    assert found.keys() == other.keys()
    for step, values in other.items():
        assert found[step] == (values if exactly else pytest.approx(values, rel=1e-9, abs=1e-12)), step


# By epochs, by steps, and by the smaller one of the two: how a training is limited, and how many batches that makes.
LIMITS = [({"max_epochs": 3}, 12), ({"max_steps": 5}, 5), ({"max_epochs": 2, "max_steps": 50}, 8)]


@pytest.mark.parametrize(("limits", "steps"), LIMITS)
@pytest.mark.parametrize(("way", "schedule"), list(itertools.product(("gradient", "game"), FORMS)))
def test_rates_are_those_of_the_closed_form_over_the_length_of_the_training(way, schedule, limits, steps):
    assert_equal(rates(way, schedule, **limits), expected(way, schedule, steps), exactly=False)


# First so long, cut after so many batches if it is cut, then so long.
CHANGES = [
    ({"max_epochs": 2}, None, {"max_epochs": 5}),
    ({"max_epochs": 3}, None, {"max_epochs": 9}),
    ({"max_epochs": 5}, 6, {"max_epochs": 3}),
    ({"max_epochs": 4}, 8, {"max_epochs": 4}),
    ({"max_steps": 6}, None, {"max_steps": 11}),
    ({"max_epochs": 2}, None, {"max_steps": 13}),
    ({"max_steps": 5}, None, {"max_epochs": 4}),
]


@pytest.mark.parametrize(("before", "cut", "after"), CHANGES)
@pytest.mark.parametrize(("way", "schedule"), list(itertools.product(WAYS, ("linear", "cosine", "exponential"))))
def test_a_resumed_training_has_the_rates_of_a_fresh_one_of_its_length(way, schedule, before, cut, after, tmp_path):
    path = tmp_path / "cut.ckpt"
    length = before.get("max_steps", 4 * before.get("max_epochs", 0))
    with pytest.raises(InterruptedError):
        rates(way, schedule, StopAt(cut or length, path), **before)
    fresh = fresh_rates(way, schedule, **after)
    resumed = rates(way, schedule, checkpoint=path, **after)
    assert_equal(resumed, {step: values for step, values in fresh.items() if step >= (cut or length)})
    if schedule != "exponential":
        assert resumed[max(resumed)][0] <= 0.34 * fresh[0][0], "the end is near 0"


def test_a_changed_length_is_said_in_one_line_and_an_equal_one_is_not(tmp_path, capsys):
    with pytest.raises(InterruptedError):
        rates("gradient", "cosine", StopAt(8, tmp_path / "cut.ckpt"), max_epochs=2)
    rates("gradient", "cosine", checkpoint=tmp_path / "cut.ckpt", max_epochs=2)
    assert "learning rate" not in capsys.readouterr().out
    rates("gradient", "cosine", checkpoint=tmp_path / "cut.ckpt", max_epochs=5)
    assert capsys.readouterr().out == "learning rate: the schedule is stretched from 8 steps to 20 steps\n"


def test_momentum_that_a_schedule_moves_is_stretched_with_the_rate(tmp_path):
    """OneCycleLR changes Adam's β₁ too, and sets a first rate of its own."""
    one_cycle = [
        *("model=vae", *HIDDEN["gradient"], "model.schedule.interval=step", "model.schedule.length=total_steps"),
        "model.schedule.scheduler._target_=torch.optim.lr_scheduler.OneCycleLR",
        *("~model.schedule.scheduler.factor", "~model.schedule.scheduler.total_iters"),
        "+model.schedule.scheduler.max_lr=0.1",
    ]

    class Groups(lightning.pytorch.Callback):
        def on_train_batch_start(self, trainer, *args):
            group = trainer.optimizers[0].param_groups[0]
            seen[trainer.global_step] = group["lr"], group["betas"]

    ends = []
    for epochs, checkpoint in ((2, None), (5, tmp_path / "cut.ckpt"), (5, None)):
        seen: dict[int, tuple] = {}
        stop = [StopAt(8, tmp_path / "cut.ckpt")] if epochs == 2 else []
        lightning.seed_everything(1, verbose=False)
        try:
            fit(*build(*DATA, *one_cycle), checkpoint, max_epochs=epochs, callbacks=[ExactResume(), Groups(), *stop])
        except InterruptedError:
            continue
        ends.append(seen)
    resumed, fresh = ends
    assert resumed == {step: values for step, values in fresh.items() if step >= 8}
    assert fresh[0][0] == pytest.approx(0.1 / 25)
    assert len({betas for _, betas in fresh.values()}) > 10


def test_a_length_that_is_typed_stays_what_it_is(tmp_path):
    typed = ["model/schedule=cosine", "+model.schedule.scheduler.T_max=40"]
    seen = Rates()
    fit(*build(*DATA, "model=vae", *HIDDEN["gradient"], *typed), max_epochs=2, callbacks=[seen])
    assert [values[0] / 1e-3 for values in seen.by_step.values()] == pytest.approx(
        [0.5 * (1 + math.cos(math.pi * step / 40)) for step in range(8)]
    )


def test_a_length_that_the_scheduler_does_not_know_is_refused():
    model, data = build(*DATA, "model=vae", "model/schedule=cosine", "model.schedule.length=T_min")
    with pytest.raises(ValueError, match=r"model\.schedule\.length=T_min: .*CosineAnnealingLR has no such argument"):
        fit(model, data)


def test_accumulated_batches_are_one_step():
    assert_equal(
        rates("gradient", "linear", max_epochs=3, accumulate_grad_batches=2),
        {step: [1e-3 * (1 - step / 6)] for step in range(6)},
        exactly=False,
    )


class Clock(lightning.pytorch.Callback):
    """A clock that each batch moves on by `seconds`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 1.0):
        self.now, self.seconds = 1000.0, seconds
        fake = types.SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(timer, "time", fake)
        monkeypatch.setattr(schedules, "time", fake)

    def on_train_batch_end(self, *args):
        self.now += self.seconds


ALLOWED = {"max_time": "00:00:01:40"}  # 100 seconds
# After eight measured steps, a twentieth of the time, nine are done, and of the 91 seconds left 95 % are shared out.
MEASURED, LENGTH = 9, 9 + 86


@pytest.mark.parametrize(("way", "schedule"), [("gradient", "cosine"), ("gradient", "linear"), ("game", "cosine")])
def test_max_time_becomes_a_number_of_steps_once_they_are_measured(way, schedule, monkeypatch, capsys):
    found = rates(way, schedule, Clock(monkeypatch), **ALLOWED)
    said = capsys.readouterr().out
    assert said == "learning rate: trainer.max_time allows 95 steps (1e+03 ms each): the schedule ends with them\n"
    assert len(found) == LENGTH
    of_length = expected(way, schedule, LENGTH)
    assert_equal(
        {step: values for step, values in found.items() if step >= MEASURED},
        {step: values for step, values in of_length.items() if step >= MEASURED},
        exactly=False,
    )
    assert all(found[step] == pytest.approx(found[0]) for step in range(MEASURED))
    assert found[LENGTH - 1][0] < 0.02 * found[0][0]


@pytest.mark.parametrize("cut", [6, 30])
def test_the_measured_length_is_kept_by_a_resume(cut, monkeypatch, tmp_path):
    whole = rates("gradient", "cosine", Clock(monkeypatch), **ALLOWED)
    with pytest.raises(InterruptedError):
        rates("gradient", "cosine", Clock(monkeypatch), StopAt(cut, tmp_path / "cut.ckpt"), **ALLOWED)
    # On a machine half as fast: what was measured before the cut counts.
    slower = Clock(monkeypatch, seconds=1.0 if cut < MEASURED else 1.3)
    resumed = rates("gradient", "cosine", slower, checkpoint=tmp_path / "cut.ckpt", **ALLOWED)
    if cut > MEASURED:
        assert_equal(resumed, {step: whole[step] for step in resumed})
    # The clock still ends it where the steps take longer than they did.
    assert max(resumed) == pytest.approx(LENGTH - 1 if cut < MEASURED else 30 + 70 / 1.3, abs=5)


def test_more_time_is_measured_anew_and_a_training_at_its_end_takes_no_step_more(monkeypatch, tmp_path, capsys):
    path = tmp_path / "end.ckpt"
    with pytest.raises(InterruptedError):
        rates("gradient", "cosine", Clock(monkeypatch), StopAt(LENGTH, path), **ALLOWED)
    assert rates("gradient", "cosine", Clock(monkeypatch), checkpoint=path, **ALLOWED) == {}
    longer = rates("gradient", "cosine", Clock(monkeypatch), checkpoint=path, max_time="00:00:03:20")
    assert min(longer) == LENGTH
    assert 180 < max(longer) < 200
    assert longer[max(longer)][0] < 0.02e-3
    assert "stretched from 95 steps to an unknown length" in capsys.readouterr().out


def test_epochs_that_are_over_before_the_time_is_keep_their_schedule(monkeypatch, capsys):
    found = rates("gradient", "linear", Clock(monkeypatch), max_epochs=4, **ALLOWED)
    assert_equal(found, expected("gradient", "linear", 16), exactly=False)
    assert "learning rate" not in capsys.readouterr().out


def test_averages_reach_over_a_tenth_of_the_steps_until_their_decay_is_reached():
    """The age of what is averaged, by the recursion itself: a(n) = d (a(n−1) + 1), in steps."""
    age = 0.0
    for step in range(1, 20_001):
        d = decay_at(step, 0.999, 0.1)
        age = d * (age + 1)
        assert d <= 0.999
        assert age <= 0.1 * step + 1
    assert age == pytest.approx(999, rel=0.01)
    assert decay_at(0, 0.999, 0.1) < 0.1


def test_after_two_epochs_averaged_weights_have_left_the_initial_ones():
    """With a constant decay of 0.995 they would hold 0.995^8 of these, 96 %."""
    model, data = build(*DATA, "model=pixelcnn", "model.hidden_channels=4", "model.num_blocks=1")
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    current = {}

    watch = LambdaCallback(
        on_train_batch_end=lambda trainer, module, *args: current.update(
            {name: p.detach().clone() for name, p in module.named_parameters()}
        )
    )
    fit(model, data, max_epochs=2, callbacks=[watch])
    way = torch.cat([(current[name] - start[name]).flatten() for name in start])
    held = torch.cat([(p.detach() - current[name]).flatten() for name, p in model.named_parameters()])
    assert held.norm() < 0.3 * way.norm()
