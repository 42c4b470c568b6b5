"""What is said of a game that goes wrong, and when."""

import json
import math
import re

import pytest
import torch
from support import build, run_directory

from pmodel.training.health import GameHealth, relative_spread
from pmodel.training.objectives import OBJECTIVES


def noted(health: GameHealth, objective: str, d_real: float, d_fake: float, batches: int) -> None:
    health.note({"d_real": d_real, "d_fake": d_fake}, OBJECTIVES[objective](), batches)


REAL = torch.rand(200, 6, generator=torch.Generator().manual_seed(0))
# By objective: verdicts of a discriminator that is sure, and of one that is not.
SURE = {
    "minimax": ((0.999, 0.001), (0.9, 0.1)),
    "non_saturating": ((0.999, 0.001), (0.6, 0.4)),
    "least_squares": ((0.99, 0.01), (0.8, 0.2)),
    "hinge": ((3.0, -3.0), (1.0, -1.0)),
}


@pytest.mark.parametrize("objective", SURE)
def test_a_discriminator_that_stays_sure_is_named_after_a_thousand_batches_and_not_before(objective):
    health, (sure, unsure) = GameHealth(), SURE[objective]
    noted(health, objective, *sure, 100)
    assert not health.concerns(REAL, REAL)
    noted(health, objective, *sure, 1099)
    assert not health.concerns(REAL, REAL)
    noted(health, objective, *sure, 1100)
    (line,) = health.concerns(REAL, REAL).values()
    assert line.startswith("the discriminator has been sure for 1,000 batches")
    assert "try " in line
    noted(health, objective, *unsure, 1200)
    assert not health.concerns(REAL, REAL)
    noted(health, objective, *sure, 5000)
    assert not health.concerns(REAL, REAL)


def test_a_discriminator_that_says_real_or_not_of_everything_is_named_too():
    for verdicts in ((0.999, 0.998), (0.001, 0.002)):
        health = GameHealth()
        for batches in (100, 1200):
            noted(health, "non_saturating", *verdicts, batches)
        assert list(health.concerns(REAL, REAL)) == ["settled"]


@pytest.mark.parametrize("verdicts", [(3.0, -1.0), (1.0, -3.0), (2.0, -2.0)])
def test_a_hinge_that_one_kind_of_example_still_moves_is_not_settled(verdicts):
    assert not OBJECTIVES["hinge"]().settled(*verdicts)


@pytest.mark.parametrize("objective", ["wasserstein", "wasserstein_gp"])
def test_scores_without_a_scale_are_no_concern(objective):
    health = GameHealth()
    for batches in (100, 5000):
        noted(health, objective, 1e4, -1e4, batches)
    assert not health.concerns(REAL, REAL)


def test_samples_that_hardly_differ_are_named_after_a_thousand_batches():
    health, narrow = GameHealth(), 0.5 + 0.2 * (REAL - 0.5)
    for batches, expected in ((100, []), (1099, []), (1100, ["collapsed"])):
        noted(health, "hinge", 0.5, -0.5, batches)
        assert list(health.concerns(REAL, narrow)) == expected
    noted(health, "hinge", 0.5, -0.5, 1200)
    assert not health.concerns(REAL, REAL)


def test_spread_is_relative_to_that_of_the_data():
    assert relative_spread(REAL, 3 + 0.25 * REAL) == pytest.approx(0.25)
    assert math.isnan(relative_spread(torch.ones(4, 2), REAL))


def test_counts_survive_a_checkpoint():
    health = GameHealth()
    noted(health, "hinge", 3, -3, 100)
    health.concerns(REAL, 0.1 * REAL)
    resumed = GameHealth()
    resumed.load_state_dict(health.state_dict())
    noted(resumed, "hinge", 3, -3, 1100)
    assert set(resumed.concerns(REAL, 0.1 * REAL)) == {"settled", "collapsed"}


SMALL = ["model=gan", "data.limit=64", "data.batch_size=4", "callbacks=minimal", "logger=none"]


@pytest.mark.slow
def test_a_game_that_is_over_is_said_once_while_it_runs_and_kept_in_status_json(train, tmp_path, monkeypatch):
    monkeypatch.setattr(GameHealth, "PATIENCE", 100)
    outcome = train(
        *SMALL,
        "trainer.max_epochs=20",
        "model.optimizer.generator.lr=0",
        "model.r1=0",
        "model.optimizer.discriminator.lr=1e-2",
    )
    assert outcome.code == 0, outcome.err
    lines = [line for line in outcome.err.splitlines() if "warning: epoch" in line]
    assert sum("the discriminator has been sure" in line for line in lines) == 1
    status = json.loads((run_directory(tmp_path) / "status.json").read_text())
    assert status["status"] == "done"
    assert [f"warning: {line}" for line in status["warnings"]] == lines


def test_a_game_that_diverges_ends_with_one_line_that_names_the_quantity(train, tmp_path):
    outcome = train(*SMALL, "trainer.max_epochs=3", "model.optimizer.discriminator.lr=1e30", "model.r1=0")
    assert outcome.code == 1
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("error")]
    assert re.search(r"the training diverged: (discriminator|generator)_loss is (nan|-?inf)", line)
    assert "try a lower lr" in line
    status = json.loads((run_directory(tmp_path) / "status.json").read_text())
    assert status["status"] == "failed"
    assert "the training diverged" in status["reason"]


def test_other_models_have_no_concerns_of_their_own():
    model, _ = build()
    assert model.concerns() == {}
