"""The Fréchet distance of a model while it trains: which value, when, and what it leaves alone."""

import math

import pytest
import torch
from built import FrechetDistance
from lightning.pytorch import Callback
from support import build, fit

from pmodel.callbacks.checkpoints import BestCheckpoint
from pmodel.features import dataset_network as features
from pmodel.features.dataset_network import feature_extractor
from pmodel.metrics.frechet import Moments, frechet_distance

SMALL = [
    "data.limit=200",
    "data.batch_size=50",
    "model.latent_dim=3",
    "model.network.encoder.hidden_dims=[16]",
    "model.network.decoder.hidden_dims=[16]",
]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(features, "NUM_STEPS", 100)


class Noted(Callback):
    """After each epoch, the distance that other callbacks see."""

    def __init__(self, name="val/frechet"):
        self.name, self.seen = name, []

    def on_train_epoch_end(self, trainer, pl_module):
        value = trainer.callback_metrics.get(self.name)
        self.seen.append(None if value is None else value.item())


def by_hand(model, data, num_samples, split="validation"):
    extractor = feature_extractor(data, None)
    generator = torch.Generator().manual_seed(0)
    counts = [500] * (num_samples // 500) + ([num_samples % 500] if num_samples % 500 else [])
    drawn = torch.cat([model.eval().sample(n, generator=generator) for n in counts])
    real = data.examples(split, data.split_sizes[split]).x
    return frechet_distance(Moments.of(extractor.features(drawn)), Moments.of(extractor.features(real)))


@pytest.mark.parametrize("extra", [[], ["model.ema_decay=0.9"]])
def test_the_logged_value_is_that_of_the_models_draws_against_all_validation_examples(extra, tmp_path):
    model, data = build(*SMALL, *extra)
    callback = FrechetDistance(num_samples=700, every_n_epochs=1)
    trainer = fit(model, data, callbacks=[callback])
    if extra:
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        weights = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
        model.load_state_dict(weights)
    logged = trainer.callback_metrics["val/frechet"].item()
    assert logged == pytest.approx(by_hand(model, data, 700), rel=1e-4)
    assert model.counts["val"] == 200
    assert callback.protocol() == {
        "num_real": 200,
        "num_generated": 700,
        "feature_network": "convolutions trained to classify",
        "feature_hash": feature_extractor(data, None).hash,
        "noise_seed": 0,
    }


def test_training_goes_on_as_if_nothing_had_been_measured(tmp_path):
    states = []
    for callbacks in ([], [FrechetDistance(300, 1, str(tmp_path / "features"))]):
        torch.manual_seed(0)
        model, data = build(*SMALL, "data.binarize=dynamic")
        fit(model, data, callbacks=callbacks)
        states.append([torch.get_rng_state(), *model.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_real_examples_are_near_and_a_broken_model_is_far(monkeypatch):
    model, data = build("data=digits", *SMALL[1:], "model/optimizer=sgd", "model.optimizer.lr=0.0")
    callback = FrechetDistance(num_samples=1000, every_n_epochs=1)
    monkeypatch.setattr(model, "sample", lambda n, generator: torch.rand(n, 1, 8, 8, generator=generator))
    broken = fit(model, data, max_epochs=1, callbacks=[callback]).callback_metrics["val/frechet"].item()
    assert 0 < callback.reference < broken / 10
    (number,) = callback.numbers
    assert number["label"] == "Fréchet distance, real train against real validation"
    assert (number["value"], number["split"], number["count"]) == (callback.reference, "validation", 250)
    assert number["protocol"]["num_train"] == 648
    assert number["protocol"]["split_sizes"] == data.split_sizes
    train, validation = (data.examples(split, 2000).x for split in ("train", "validation"))
    extractor = feature_extractor(data, None)
    # The network was trained on the first 649.
    expected = frechet_distance(*(Moments.of(extractor.features(x)) for x in (train[649:], validation)))
    assert callback.reference == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(model, "sample", lambda n, generator: torch.full((n, 1, 8, 8), math.nan))
    assert fit(model, data, max_epochs=1, callbacks=[callback]).callback_metrics["val/frechet"].isnan()


def test_it_is_measured_after_the_first_epoch_every_nth_and_the_last_and_missing_elsewhere():
    noted = Noted()
    model, data = build(*SMALL)
    fit(model, data, max_epochs=7, callbacks=[FrechetDistance(10, every_n_epochs=3), noted])
    assert [value is not None for value in noted.seen] == [True, False, True, False, False, True, True]


@pytest.mark.parametrize(("max_steps", "expected"), [(8, [True, True]), (6, [True, False])])
def test_it_is_measured_where_steps_end_the_training_with_an_epoch_but_not_inside_one(max_steps, expected):
    noted = Noted()
    model, data = build(*SMALL)
    fit(model, data, callbacks=[FrechetDistance(10, every_n_epochs=5), noted], max_steps=max_steps, max_epochs=9)
    assert [value is not None for value in noted.seen] == expected


def test_by_default_it_is_measured_in_each_epoch_of_a_model_that_is_judged_by_it_and_no_other(capfd):
    model, data = build(*SMALL)
    callback, noted = FrechetDistance(10), Noted()
    fit(model, data, callbacks=[callback, noted])
    assert noted.seen == [None, None]
    assert callback.numbers == []
    assert callback.protocol() == {}
    assert "Fréchet" not in capfd.readouterr().out
    model, data = build(*SMALL)
    model.monitor = "val/frechet"
    callback, noted = FrechetDistance(10), Noted()
    fit(model, data, callbacks=[callback, noted])
    assert None not in noted.seen
    assert "Fréchet distances: features of 200 validation examples\n" in capfd.readouterr().out


def test_the_best_checkpoint_follows_it_also_after_a_resume_without_a_measurement(tmp_path):
    def started(epochs, checkpoint=None):
        torch.manual_seed(0)
        model, data = build(*SMALL)
        model.monitor = "val/frechet"
        callbacks = [FrechetDistance(200, every_n_epochs=3), noted := Noted(), best := BestCheckpoint(str(tmp_path))]
        trainer = fit(model, data, checkpoint, max_epochs=epochs, callbacks=callbacks)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return noted.seen, best

    seen, best = started(3)
    assert seen[1] is None
    assert best.best_metrics["val/frechet"] == min(seen[0], seen[2])
    later, resumed = started(5, tmp_path / "last.ckpt")
    assert later[0] is None
    assert resumed.best_metrics["val/frechet"] == min(seen[0], seen[2], later[1])


def test_without_validation_examples_it_is_measured_against_training_examples_without_a_floor():
    model, data = build(*SMALL, "data.num_validation=0")
    callback = FrechetDistance(100, every_n_epochs=1)
    trainer = fit(model, data, callbacks=[callback])
    found = trainer.callback_metrics["train/frechet"].item()
    assert found == pytest.approx(by_hand(model, data, 100, "train"), rel=1e-4)
    assert callback.reference is None
    assert callback.numbers == []


@pytest.mark.parametrize("settings", [["model=autoencoder", *SMALL], ["data.limit=1", *SMALL[2:]]])
def test_models_that_can_not_sample_and_a_single_example_are_left_out(settings):
    model, data = build(*settings)
    callback, noted = FrechetDistance(10, every_n_epochs=1), Noted()
    fit(model, data, callbacks=[callback, noted])
    assert noted.seen == [None, None]
    assert callback.numbers == []


def test_a_mixture_of_points_comes_near_to_the_floor():
    model, data = build("model=gmm", "data=points", "data.num_train=1000", "data.num_validation=1000")
    callback = FrechetDistance(1000, every_n_epochs=1)
    trainer = fit(model, data, max_epochs=30, callbacks=[callback])
    assert callback.protocol()["feature_network"] == "random Fourier features"
    assert trainer.callback_metrics["val/frechet"].item() < 5 * callback.reference
