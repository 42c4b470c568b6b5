"""A search goes on where it was, draws what it would have drawn, ends hopeless trials, and refuses mistakes at once."""

import json
import os
import sys
from pathlib import Path

import lightning
import pytest
import torch
from built import Pruning
from forked import Fork
from hydra import initialize_config_dir
from support import ROOT, StopAt, build, fit

from pmodel.callbacks.pruning import Pruned
from pmodel.callbacks.search_journal import JOURNAL, Search
from pmodel.config.check import check_overrides
from pmodel.config.overrides import hydras_own, own_sweep, parse_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.config.search_space import Choice, Numbers, dimension, search_space, written
from pmodel.config.tree import ConfigError
from pmodel.runs.typed import CONFIG_DIR

pytest.importorskip("optuna")
SPACE = {"lr": Numbers(1e-4, 1e-2, log=True), "dim": Numbers(4, 32, 4), "net": Choice(("[64]", "[64,64]", "null"))}


def space_of(line: str):
    return dimension(parse_overrides([line])[0])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("a=choice(1,[2,3])", Choice(("1", "[2,3]"))),
        ("a=x,null", Choice(("x", "null"))),
        ("a=range(4,13,4)", Numbers(4, 12, 4)),
        ("a=range(4,12,4)", Numbers(4, 8, 4)),
        ("a=tag(log,range(1,65))", Numbers(1, 64, 1, log=True)),
        ("a=interval(0,1)", Numbers(0.0, 1.0)),
        ("a=int(interval(2,8))", Numbers(2, 8)),
        ("a=tag(log,interval(1e-4,1e-2))", Numbers(1e-4, 1e-2, log=True)),
    ],
)
def test_hydras_words_for_a_space_mean_what_hydra_means_by_them(typed, expected):
    assert space_of(typed) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("a=range(3,3)", "with a value in it"),
        ("a=interval(2,1)", "lower end first"),
        ("a=tag(log,interval(0,1))", "begins above 0"),
        ("a=tag(lgo,interval(1,2))", "lgo"),
        ("a=tag(log,range(1,9,2))", "no step"),
        ("a=tag(log,choice(1,2))", "no order"),
    ],
)
def test_an_impossible_space_is_refused_as_typed(typed, expected):
    with pytest.raises(ConfigError, match=expected) as error:
        space_of(typed)
    assert str(error.value).startswith(typed)


def test_a_drawn_value_is_typed_as_hydra_reads_it():
    assert written(SPACE["lr"], 1e-05) == "1e-05"
    assert written(SPACE["dim"], 8.0) == "8"
    (read,) = parse_overrides([f"net={written(SPACE['net'], '[64,64]')}"])
    assert read.value() == [64, 64]


def search(folder: Path, **settings) -> Search:
    return Search(folder, SPACE, **{"direction": "minimize", "seed": 1, "num_startup_trials": 3, **settings})


def value_of(settings: dict[str, str]) -> float:
    return abs(float(settings["lr"]) - 1e-3) * 1000 + int(settings["dim"]) / 32


def run_to(found: Search, num_trials: int, num_jobs: int) -> list[dict[str, str]]:
    while numbers := found.next_trials(num_jobs, num_trials):
        for number in numbers:
            found.tell(number, value_of(found.settings(number)))
    return [found.settings(trial.number) for trial in found.trials()]


def test_the_setting_that_decides_is_the_important_one_and_few_trials_say_nothing(tmp_path):
    found = search(tmp_path, sampler="random")
    while numbers := found.next_trials(1, 24):
        (number,) = numbers
        # One trial that diverges would explain all differences.
        found.tell(number, 1e9 if number == 5 else float(found.settings(number)["dim"]))
        assert bool(found.importances()) == (number >= 9)
    shares = found.importances()
    assert set(shares) == set(SPACE)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["dim"] > 0.7
    assert search(tmp_path, sampler="random").importances() == shares


def test_trials_without_a_difference_have_no_important_setting(tmp_path):
    found = search(tmp_path, sampler="random")
    while numbers := found.next_trials(1, 12):
        found.tell(numbers[0], 1.0)
    assert found.importances() == {}


@pytest.mark.parametrize("num_jobs", [1, 3])
def test_a_search_cut_at_any_point_draws_what_an_uncut_one_draws(num_jobs, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = run_to(search(tmp_path / "whole"), 9, num_jobs)
    # Cut after a trial was launched, in the middle of telling a batch, and in the middle of drawing one.
    for cut in range(1, 9):
        folder = tmp_path / f"cut_{cut}"
        folder.mkdir()
        first = search(folder)
        run_to(first, cut // num_jobs * num_jobs, num_jobs)
        numbers = first.next_trials(min(num_jobs, 2), 9)
        if num_jobs > 1:
            first = search(folder)
            numbers = first.next_trials(num_jobs, 9)
            first.tell(numbers[0], value_of(first.settings(numbers[0])))
        assert run_to(search(folder), 9, num_jobs) == whole
    assert len({tuple(settings.items()) for settings in whole}) == 9


def test_a_cut_trial_is_launched_again_under_its_number_and_with_its_settings(tmp_path):
    first = search(tmp_path)
    run_to(first, 2, 1)
    (cut,) = first.next_trials(1, 5)
    again = search(tmp_path)
    assert again.next_trials(1, 5) == [cut] == [2]
    assert again.settings(2) == first.settings(2)


def test_a_search_that_asks_for_more_trials_goes_on_and_one_that_has_them_ends(tmp_path):
    three = run_to(search(tmp_path), 3, 1)
    assert search(tmp_path).next_trials(1, 3) == []
    assert run_to(search(tmp_path), 5, 1)[:3] == three


def test_another_search_in_the_same_directory_is_refused_by_what_differs(tmp_path):
    search(tmp_path, conditions={"trainer.max_epochs": "3"})
    with pytest.raises(ValueError, match=r"another search, with trainer\.max_epochs: 3, now 4"):
        search(tmp_path, conditions={"trainer.max_epochs": "4"})
    with pytest.raises(ValueError, match="direction"):
        search(tmp_path, conditions={"trainer.max_epochs": "3"}, direction="maximize")


def test_a_journal_cut_in_the_middle_of_a_line_is_read_up_to_it(tmp_path):
    run_to(search(tmp_path), 2, 1)
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    found = search(tmp_path)
    assert [trial.number for trial in found.trials()] == [0, 1]
    run_to(found, 3, 1)
    assert len(search(tmp_path).trials()) == 3


def test_the_best_trial_follows_the_direction_and_is_none_that_failed_or_was_pruned(tmp_path):
    found = search(tmp_path, direction="maximize")
    for value, pruned in [(1.0, False), (3.0, False), (float("nan"), False), (None, True), (2.0, False)]:
        (number,) = found.next_trials(1, 5)
        found.tell(number, value, pruned)
    assert [trial.state.name for trial in found.trials()] == ["COMPLETE", "COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    assert found.best().number == 1


class Scripted(lightning.pytorch.Callback):
    """Writes the number of each epoch over the one that was measured."""

    def __init__(self, values: list[float]):
        self.values = values

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.callback_metrics["val/loss"] = torch.tensor(self.values[trainer.current_epoch])


def trial_with(folder: Path, number: int, values: list[float], checkpoint: Path | None = None, **settings):
    """Trains in a trial's directory, with these numbers of its epochs."""
    run_dir = folder / f"{number}-pca-digits"
    run_dir.mkdir(exist_ok=True)
    model, data = build("model=autoencoder", "data.limit=64", "data.num_validation=8")
    pruning = Pruning(str(run_dir), num_startup_trials=1, num_warmup_epochs=2)
    callbacks = [Scripted(values), pruning, *settings.pop("callbacks", [])]
    return fit(model, data, checkpoint, callbacks=callbacks, max_epochs=len(values), **settings)


def told(folder: Path) -> dict[int, float]:
    return search(folder).trials()[-1].intermediate_values


def test_a_trial_worse_than_the_median_of_the_others_ends_after_its_epoch_and_a_better_one_does_not(tmp_path):
    found = search(tmp_path)
    for values in ([4.0, 3.0, 2.0, 1.0], [3.0, 2.0, 1.0, 0.5]):
        (number,) = found.next_trials(1, 9)
        trial_with(tmp_path, number, values)
        assert told(tmp_path) == dict(enumerate(values, 1))
        found.tell(number, min(values))
    (number,) = found.next_trials(1, 9)
    with pytest.raises(Pruned, match=r"by epoch 2 the best val/loss, 8, is worse than the median"):
        trial_with(tmp_path, number, [9.0, 8.0, 7.0, 6.0])
    assert told(tmp_path) == {1: 9.0, 2: 8.0}


def test_a_trial_cut_after_its_report_reports_no_epoch_twice_and_is_pruned_as_it_would_have_been(tmp_path):
    found = search(tmp_path)
    (number,) = found.next_trials(1, 9)
    trial_with(tmp_path, number, [1.0, 1.0, 1.0, 1.0])
    found.tell(number, 1.0)
    (number,) = found.next_trials(1, 9)
    # One step an epoch. Cut after the first, and again after the report of the second, of which no checkpoint is left.
    one, two = tmp_path / "one.ckpt", tmp_path / "two.ckpt"
    with pytest.raises(InterruptedError):
        trial_with(tmp_path, number, [2.0, 2.0, 2.0, 2.0], callbacks=[StopAt(1, one)])
    with pytest.raises(InterruptedError):
        trial_with(tmp_path, number, [2.0, 2.0, 2.0, 2.0], one, callbacks=[StopAt(2, two)])
    assert told(tmp_path) == {1: 2.0, 2: 2.0}
    for checkpoint in (one, two):
        with pytest.raises(Pruned, match="by epoch 2"):
            trial_with(tmp_path, number, [2.0, 2.5, 3.0, 3.0], checkpoint)
        assert told(tmp_path) == {1: 2.0, 2: 2.0}


def test_a_run_outside_of_a_search_is_not_pruned_and_says_so(tmp_path, caplog):
    trial_with(tmp_path, 0, [1.0, 9.0, 9.0])
    assert "no trial of a search" in caplog.text


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("sweep=vae_optunna", "did you mean vae_optuna"),
        ("sweep=wandb", "wandb sweep conf/sweep/wandb.yaml"),
        ("sweep=vae_optuna model.latent_dimm=range(1,9)", "did you mean model.latent_dim"),
        ("sweep=vae_optuna model.latent_dim=interval(0.5,2)", "model.latent_dim=0.5: expected a whole number"),
        ("sweep=vae_optuna hydra.sweeper.n_trials=0", "n_trials=0: expected a whole number, at least 1"),
        ("sweep=vae_optuna hydra.sweeper.n_trails=3", "did you mean hydra.sweeper.n_trials"),
        ("sweep=vae_optuna hydra.sweeper.sampler=tpee", "did you mean tpe"),
        ("sweep=vae_optuna hydra.sweeper.direction=min", "expected one of minimize, maximize"),
        ("sweep=vae_optuna hydra/sweeper=optunna", "did you mean optuna"),
        ("hydra/sweeper=optuna", "something to search"),
    ],
)
def test_a_mistake_in_a_search_is_named_before_anything_is_imported(typed, expected):
    register_resolvers()
    with pytest.raises(ConfigError, match=expected):
        check_overrides("train", typed.split(), multirun="hydra/sweeper" in typed)


@pytest.mark.parametrize("name", ["vae_optuna", "gan_optuna"])
def test_a_search_of_conf_sweep_needs_no_m_and_what_is_typed_replaces_its_space(name):
    typed = parse_overrides([f"sweep={name}", "model.latent_dim=interval(1,2)"])
    register_resolvers()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        space = search_space([*own_sweep(hydras_own("train", typed), typed), *typed])
    assert space["model.latent_dim"] == Numbers(1.0, 2.0)
    assert len(space) == 5


TINY = (
    "model=vae",
    "data=digits",
    "data.limit=64",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "callbacks=minimal",
    "logger=none",
)


def test_the_command_searches_and_typed_again_with_more_trials_goes_on(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "-m", "hydra/sweeper=optuna", *TINY]
    command += [f"hydra.sweep.dir={tmp_path}", "callbacks.progress=null", "model.latent_dim=range(2,9)"]
    seen = []
    for num_trials in (2, 3):
        process = Fork([*command, f"hydra.sweeper.n_trials={num_trials}"], dict(os.environ))
        assert process.wait(600) == 0, process.said()
        seen.append(process.said())
    assert "best      trial" in seen[1]
    assert "trial     0" not in seen[1]
    assert "trial     2" in seen[1]
    for number in range(3):
        (folder,) = tmp_path.glob(f"{number}-*")
        assert json.loads((folder / "status.json").read_text())["status"] == "done"
    values = {t.number: t.value for t in _open(tmp_path)}
    assert set(values) == {0, 1, 2}
    assert all(value is not None for value in values.values())


def _open(folder: Path):
    import optuna

    from pmodel.callbacks.search_journal import STUDY, open_journal

    return optuna.load_study(study_name=STUDY, storage=open_journal(folder / JOURNAL)).trials
