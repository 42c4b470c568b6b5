"""What a training and its model say of themselves at the end: each sentence where it is right, and not elsewhere."""

import json
import math
import re

import pytest
import torch
from support import run_directory

from pmodel.callbacks.diagnosis import Curve, averages_lag, learns_badly, overfits, still_improves
from pmodel.models.kmeans import same_centres
from pmodel.models.latent_variable import num_in_use

EPOCHS = list(range(1, 31))
NOISE = (0.02 * torch.randn(30, generator=torch.Generator().manual_seed(0))).tolist()


def curve(values):
    return Curve(EPOCHS[: len(values)], list(values))


FALLING = curve([100 + 50 * math.exp(-e / 12) + n for e, n in zip(EPOCHS, NOISE, strict=True)])
SETTLED = curve([100 + 50 * math.exp(-e / 2) + n for e, n in zip(EPOCHS, NOISE, strict=True)])
TURNING = curve([110 + 0.1 * (e - 12) ** 2 + n for e, n in zip(EPOCHS, NOISE, strict=True)])
FLAT = curve([100 + 5 * (-1) ** e for e in EPOCHS])


def test_a_validation_that_rises_while_training_falls_overfits_since_its_best_epoch():
    line = overfits(FALLING, TURNING, "val/loss")
    assert line.startswith("it overfits since epoch 12 (val/loss is 32.4 worse by now; best.ckpt is of that epoch)")
    assert overfits(FALLING, SETTLED, "val/loss") is None
    assert overfits(TURNING, TURNING, "val/loss") is None  # training rises too: it breaks, it does not overfit


@pytest.mark.parametrize("values", [FALLING.values, [3.0, 2.0], [3.0, 2.5, 2.0]])
def test_a_validation_that_falls_up_to_the_end_was_still_improving(values):
    line = still_improves(curve(values), "val/loss", "trainer.max_epochs=60")
    assert line.startswith("it was still improving when it ended (val/loss gained ")
    assert line.endswith("; try trainer.max_epochs=60")


@pytest.mark.parametrize("values", [SETTLED.values, TURNING.values, FLAT.values, [2.0], [2.0, 3.0], [3.0, 2.0, 1.99]])
def test_a_validation_that_has_settled_or_turned_was_not(values):
    assert still_improves(curve(values), "val/loss", "") is None


def test_a_training_loss_that_goes_up_and_down_or_nowhere_asks_for_another_learning_rate():
    assert "up and down" in learns_badly(FLAT, FLAT, "val/loss", "model.optimizer.lr=0.0001")
    stuck = curve([100 - 0.001 * e for e in EPOCHS])
    line = learns_badly(stuck, stuck, "val/loss", "model.optimizer.lr=0.0001")
    assert "hardly improved since epoch 1" in line
    assert line.endswith("try model.optimizer.lr=0.0001")
    for good in (FALLING, SETTLED):
        assert learns_badly(good, good, "val/loss", "") is None
    assert learns_badly(curve([1.0, 2.0, 1.0]), curve([1.0, 2.0, 1.0]), "val/loss", "") is None  # too few to tell


def test_averages_lag_in_short_runs_where_validation_is_worse_than_training():
    train, val = curve([3.0, 2.0]), curve([3.0, 2.5])
    assert "(model.ema_decay=0.995), which lag in a run of 999 steps" in averages_lag(train, val, 0.995, 999)
    assert averages_lag(train, val, 0.995, 1000) is None
    assert averages_lag(train, val, None, 10) is None
    assert averages_lag(val, train, 0.995, 10) is None


def test_latents_whose_means_do_not_vary_are_not_in_use():
    codes = torch.randn(1000, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    codes[:, :2] = 7 + 0.05 * codes[:, :2]
    assert num_in_use(codes) == 3


def test_centres_are_the_same_in_any_order_and_not_where_two_share_one():
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert same_centres(centres[[2, 0, 1]] + 0.01, centres)
    assert not same_centres(centres + torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.3, 0.0]]), centres)
    assert not same_centres(torch.tensor([[0.0, 0.0], [0.01, 0.0], [1.0, 0.0]], dtype=torch.float64), centres)


SLOW = pytest.mark.slow  # what is said of a game has lasted for 1,000 batches
GAN = ["model=gan", "trainer.max_steps=1400"]
FAST = ["callbacks=minimal", "logger=none", "threads=1"]
# A part of each sentence, with what it says to try.
SENTENCES = {
    "short": r"still improving .*; try trainer\.max_(epochs|steps)=\d+$",
    "latents": r"(no latent is|[1-9]\d* of 16 latents (is|are)) in use .*; try .*model\.free_bits=0\.1",
    "beta": r"; try .*model\.beta=1, model\.free_bits",
    "overfits": r"it overfits since epoch \d+ .*; try callbacks=\[default,early_stopping\]",
    "rate": r"learning rate may .*; try model\.optimizer\.lr=",
    "averages": r"\(model\.ema_decay=0\.995\), which lag in a run of \d+ steps; try model\.ema_decay=null",
    "starts": r"[1-3] of 4 starts ended in the best optimum",
    "collapse": r"have hardly differed for 1,\d+ batches .*, a collapse; try model\.objective=",
    "sure": r"the discriminator has been sure for 1,\d+ batches .*; try a lower model\.optimizer\.discriminator\.lr",
    "modes": r"\d of 8 modes (is|are) missing from its samples; try model\.num_components=8",
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=autoencoder", "trainer.max_epochs=2"], {"short"}),
        (["model=vae", "trainer.max_epochs=6", "model.beta=20"], {"latents", "beta"}),
        (["model=vae", "data.limit=100", "trainer.max_epochs=100", "model.optimizer.lr=3e-3"], {"overfits"}),
        (["model=autoencoder", "trainer.max_epochs=8", "model.optimizer.lr=3"], {"rate"}),
        (["model=pixelcnn", "data.limit=64", "trainer.max_steps=20"], {"averages", "short"}),
        (["model=kmeans", "model.start=random", "model.num_clusters=40"], {"starts"}),
        (["model=kmeans", "data=points"], set()),
        (["model=gmm", "data=points", "model.num_components=4", "callbacks=default"], {"modes"}),
        (["model=gmm", "data=points", "callbacks=default"], set()),
        pytest.param([*GAN, "model.r1=0", "model.optimizer.generator.lr=0.02"], {"collapse", "sure"}, marks=SLOW),
        pytest.param(GAN, set(), marks=SLOW),
    ],
)
def test_a_training_that_goes_wrong_ends_with_its_sentence_and_no_other(train, tmp_path, words, said):
    outcome = train(*FAST, *words)
    assert outcome.code == 0, outcome.err
    lines = json.loads((run_directory(tmp_path) / "results.json").read_text())["diagnosis"]
    assert {kind for kind, words in SENTENCES.items() if any(re.search(words, line) for line in lines)} == said, lines
    assert all(line in outcome.out for line in lines)
