"""Figures of models that are trained against a discriminator, asked of tiny ones."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from built import CodeArithmetic, DiscriminatorField, Interpolations, NearestNeighbours, SampleGrid, SamplesOverTime
from figure_parts import FakeModel, FakeTrainer, data_of, is_drawn, noted, points
from support import run_directory

from pmodel.callbacks.figures import Figures
from pmodel.data.batch import Batch
from pmodel.figures.arithmetic import NOISE, surest, triples
from pmodel.figures.curves import LossCurves
from pmodel.figures.figure import NotShown, Scene, scene_of
from pmodel.figures.images import great_circle
from pmodel.figures.over_time import NUM_POINTS, kept_epochs
from pmodel.plots.grids import captioned_grid, image_grid


@pytest.fixture
def pages(monkeypatch):
    """What the figures' pages are made of, in the order of drawing."""
    modules = ("images", "over_time", "arithmetic", "neighbours")
    return noted(monkeypatch, *(f"figures.{module}.side_by_side" for module in modules))


class GAN(FakeModel):
    """Of 8×8 images, with a G that is nearly the identity: x = ½ + z / 20 from the first 64 entries of a code."""

    latent_dim, num_classes = 64, None

    def sample_latents(self, n, *, generator=None):
        return torch.randn(n, self.latent_dim, generator=generator)

    def decode(self, z):
        return (0.5 + z[:, :64] / 20).view(-1, 1, 8, 8)

    def sample(self, n, *, generator=None):
        return self.decode(self.sample_latents(n, generator=generator))

    def discriminate(self, x):
        return x.flatten(1).mean(1)


class Conditional(GAN):
    """Its codes end in a one-hot label."""

    num_classes = 4

    def sample_classes(self, label, *, generator=None):
        raise AssertionError("not asked for")

    def sample_latents(self, n, *, generator=None):
        z = torch.randn(n, 64, generator=generator)
        return torch.cat([z, torch.eye(4)[torch.randint(4, (n,), generator=generator)]], 1)


class PlaneModel(FakeModel):
    """Samples are the points z + shift in the plane, D is a logistic function of the first coordinate."""

    D, shift = 2, 0.0

    def sample(self, n, *, generator=None):
        return torch.randn(n, self.D, generator=generator) + self.shift

    def discriminate(self, x):
        return x[:, 0].sigmoid()


def image_data(num_train=120, num_validation=30):
    parts = torch.rand(num_train + num_validation, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return data_of(*parts.split((num_train, num_validation)), class_names=tuple(f"class {k}" for k in range(4)))


# Samples and interpolations


def test_samples_that_are_decoded_codes_are_shown_once_and_others_beside_their_means(pages):
    SampleGrid(9).draw(Scene(image_data(), 1), model := GAN())
    assert list(pages[0][0]) == ["samples x = G(z), z ~ p(z)"]
    model.sample = lambda n, *, generator: (torch.rand(n, 1, 8, 8, generator=generator) < 0.5).float()
    SampleGrid(9).draw(Scene(image_data(), 1), model)
    assert list(pages[1][0]) == ["samples x ~ p(x | z), z ~ p(z)", "means E[x | z] of the same z"]


def test_great_circle_goes_from_end_to_end_in_equal_angles_with_lengths_in_between():
    start, end = torch.randn(2, 5, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = torch.linspace(0, 1, 7, dtype=torch.float64)
    path = great_circle(start, end, weights)
    torch.testing.assert_close(path[:, 0], start)
    torch.testing.assert_close(path[:, -1], end)
    torch.testing.assert_close(
        path.norm(dim=2), torch.lerp(start.norm(dim=1)[:, None], end.norm(dim=1)[:, None], weights)
    )
    steps = torch.nn.functional.cosine_similarity(path[:, 1:], path[:, :-1], dim=2).acos()
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))
    total = torch.nn.functional.cosine_similarity(start, end).acos()
    torch.testing.assert_close(steps.sum(1), total)
    # A straight line between these comes much nearer to 0.
    assert (torch.lerp(start, end, 0.5).norm(dim=1) < 0.8 * path[:, 3].norm(dim=1)).all()


def test_great_circle_between_equal_opposite_and_zero_codes_is_a_straight_line():
    z = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.0, 0.0]])
    to = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [3.0, 6.0], [1.0, 0.0]])
    weights = torch.linspace(0, 1, 5)
    torch.testing.assert_close(great_circle(z, to, weights), torch.lerp(z[:, None], to[:, None], weights[:, None]))


def test_interpolations_of_a_model_that_can_not_encode_are_of_the_prior_and_mix_labels_along_a_line(pages):
    asked = []
    model = Conditional()
    model.decode = lambda z: asked.append(z) or GAN.decode(model, z)
    Interpolations(num_pairs=3, num_steps=5).draw(Scene(image_data(), 1), model)
    path = asked[0].view(3, 5, 68)
    start, end = model.sample_latents(6, generator=torch.Generator().manual_seed(0)).view(2, 3, 68)
    torch.testing.assert_close(path[:, 0], start)
    torch.testing.assert_close(path[:, -1], end)
    torch.testing.assert_close(path[:, 2, 64:], (start + end)[:, 64:] / 2)
    torch.testing.assert_close(path[:, 2, :64].norm(dim=1), (start[:, :64].norm(dim=1) + end[:, :64].norm(dim=1)) / 2)
    ((title, image),) = pages[0][0].items()
    assert "great circles" in title
    assert (image == image_grid(GAN.decode(model, asked[0]), 5)).all()


# Samples over time


@pytest.mark.parametrize("num_rows", [2, 3, 5, 12])
def test_kept_epochs_are_even_have_the_first_and_are_all_that_later_ones_need(num_rows):
    before = kept_epochs(1, num_rows)
    for epoch in range(1, 300):
        kept = kept_epochs(epoch, num_rows)
        assert kept[0] == 1
        # One row more is for the newest.
        assert num_rows / 2 <= len(kept) + 1 <= num_rows or epoch < num_rows
        assert set(kept) - set(before) <= {epoch}
        before = kept
    assert list(kept_epochs(11, 12)) == list(range(1, 12))
    assert list(kept_epochs(12, 12)) == [1, 3, 5, 7, 9, 11]


def trained(figure, trainer, epochs):
    """Each epoch moves the model's samples."""
    for epoch in epochs:
        trainer.go_to(epoch)
        trainer.lightning_module.shift = float(epoch)
        figure.note(trainer)


def shifted_model():
    model = GAN()
    model.decode = lambda z: (z + model.shift).view(-1, 1, 8, 8) / 255
    return model


def test_rows_are_samples_of_the_same_noise_after_their_epochs_and_the_newest(monkeypatch, pages):
    drawn = noted(monkeypatch, "figures.over_time.labelled_rows")
    figure, trainer = SamplesOverTime(num_images=3, num_rows=5), FakeTrainer(image_data(), shifted_model())
    trained(figure, trainer, range(1, 11))
    figure.draw(scene_of(trainer), trainer.lightning_module)
    ((rows,),) = drawn
    assert list(rows) == [f"epoch {epoch}" for epoch in (1, 5, 9, 10)]
    noise = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)).view(3, 1, 8, 8)
    for epoch, row in zip((1, 5, 9, 10), rows.values(), strict=True):
        expected = ((noise + epoch).clamp(0) / 255).mul(255).round() / 255
        torch.testing.assert_close(row, expected)


def test_their_history_survives_a_checkpoint_and_a_resumed_run_goes_on_with_it(tmp_path):
    trainer = FakeTrainer(image_data(), shifted_model())
    uninterrupted = SamplesOverTime(num_images=3, num_rows=4)
    trained(uninterrupted, trainer, range(1, 15))
    node = {"_target_": "pmodel.figures.over_time.SamplesOverTime", "num_images": 3, "num_rows": 4}
    callbacks = [Figures(str(tmp_path), {"samples_over_time": node}, 10) for _ in range(2)]
    figures = [callback.figures[0] for callback in callbacks]
    trained(figures[0], trainer, range(1, 8))
    torch.save(callbacks[0].state_dict(), tmp_path / "state.pt")
    callbacks[1].load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    trained(figures[1], trainer, range(8, 15))
    assert list(figures[1].state) == list(uninterrupted.state) == [1, 9]
    for epoch, drawn in figures[1].state.items():
        assert drawn.dtype == torch.uint8
        assert torch.equal(drawn, uninterrupted.state[epoch])


def test_epochs_that_are_not_kept_cost_no_samples():
    asked = []
    model = GAN()
    model.sample = lambda n, *, generator: asked.append((n, model.training)) or torch.rand(n, 1, 8, 8)
    trainer = FakeTrainer(image_data(), model)
    model.train()
    figure = SamplesOverTime(num_images=3, num_rows=4)
    trained(figure, trainer, range(1, 65))
    assert asked == [(3, False)] * len(asked)
    assert len(asked) < 10
    assert model.training


def test_clouds_in_the_plane_are_drawn_over_the_validation_points(monkeypatch, pages):
    drawn = noted(monkeypatch, "plots.plots.clouds_over")
    data, model = points(2), PlaneModel()
    trainer, figure = FakeTrainer(data, model), SamplesOverTime(num_rows=4)
    trained(figure, trainer, (1, 2))
    figure.draw(scene_of(trainer), model)
    ((real, groups, _),) = drawn
    assert np.array_equal(real, data.examples("validation", 100).x)
    assert list(groups) == ["epoch 1", "epoch 2"]
    np.testing.assert_allclose(groups["epoch 2"], groups["epoch 1"] + 1, atol=1e-5)
    assert len(groups["epoch 1"]) == NUM_POINTS
    monkeypatch.undo()
    assert is_drawn(figure.draw(scene_of(trainer), model))


# Arithmetic


def test_surest_are_of_the_class_and_in_falling_order():
    probabilities = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.45, 0.55], [0.7, 0.3]])
    assert surest(probabilities, 0, 2).tolist() == [1, 3]
    assert surest(probabilities, 1, 2).tolist() == [2]


def test_triples_are_of_distinct_classes_and_none_of_fewer_than_three():
    assert triples([0, 1], 5) == triples([], None) == []
    found = triples([0, 2, 3, 5, 8], 10)
    assert len({frozenset(triple) for triple in found}) == 5
    assert all(len(set(triple)) == 3 for triple in found)
    assert sorted(triple[1] for triple in found) == [0, 2, 3, 5, 8]


def classifier(classify):
    """A network that tells four classes of images."""
    network = SimpleNamespace(num_classes=4, classify=classify)
    network.to = lambda device: network
    return network


def by_largest(x):
    """Calls an image of code z by the largest of the first entries of z, surer the larger."""
    return (20 * (x.flatten(1)[:, :4] - 0.5)).softmax(1)


def arithmetic(monkeypatch, model, extractor):
    """The codes that are decoded last, (rows, 4 + variations, D), and the captions."""
    drawn, asked = noted(monkeypatch, "figures.arithmetic.equations"), []
    monkeypatch.setattr("pmodel.figures.arithmetic.feature_extractor", lambda data, cache_dir: extractor)
    decode = model.decode
    model.decode = lambda z: asked.append(z) or decode(z)
    figure = CodeArithmetic(num_rows=3, num_codes=3, num_variations=5)
    assert is_drawn(figure.draw(Scene(image_data(), 1), model))
    ((terms, captions, signs, _),) = drawn
    assert signs == "−+="
    z = asked[-1].view(3, 9, -1)
    torch.testing.assert_close(terms, decode(z[:, :4].flatten(0, 1)).view(3, 4, 1, 8, 8))
    return z, captions


def test_arithmetic_is_of_mean_codes_of_the_classes_that_its_captions_name(monkeypatch):
    z, captions = arithmetic(monkeypatch, GAN(), classifier(by_largest))
    generator = torch.Generator().manual_seed(0)
    model = GAN()
    model.sample_latents(1, generator=generator)
    drawn = model.sample_latents(400, generator=generator)
    for row, (*names, none) in zip(z, captions, strict=True):
        assert none == ""
        assert len(set(names)) == 3
        for mean, name in zip(row, names, strict=False):
            k = int(name.removeprefix("class "))
            of_class = drawn[drawn[:, :4].argmax(1) == k]
            best = of_class[of_class[:, :4].softmax(1)[:, k].argsort(descending=True)[:3]]
            torch.testing.assert_close(mean, best.mean(0))
        torch.testing.assert_close(row[3], row[0] - row[1] + row[2])
        noise = row[4:] - row[3]
        assert noise.abs().max() <= NOISE + 1e-5
        assert noise.std() == pytest.approx(NOISE / math.sqrt(3), rel=0.15)


def test_arithmetic_takes_the_labels_that_are_part_of_the_codes(monkeypatch):
    z, captions = arithmetic(monkeypatch, Conditional(), None)
    for row, names in zip(z, captions, strict=True):
        a, b, c = (torch.eye(4)[int(name.removeprefix("class "))] for name in names[:3])
        torch.testing.assert_close(row[:4, 64:], torch.stack([a, b, c, a - b + c]))
        # Noise is of z alone.
        torch.testing.assert_close(row[4:, 64:], (a - b + c).expand(5, 4))
        assert (row[4:, :64] != row[3, :64]).all()


class Autoencoder(FakeModel):
    """Codes are the pixels in twice their size."""

    latent_dim = 64

    def encode(self, x):
        return 2 * x.flatten(1)

    def decode(self, z):
        return (z / 2).view(-1, 1, 8, 8)


def test_a_model_that_encodes_adds_the_mean_codes_of_the_first_examples_of_each_class(monkeypatch):
    data, label = image_data(), torch.arange(30) % 4
    x = data.examples("validation", 30).x
    drawn, asked = noted(monkeypatch, "figures.arithmetic.equations"), []
    monkeypatch.setattr("pmodel.figures.arithmetic.feature_extractor", None)
    data.examples = lambda split, n: Batch(x, label)
    model = Autoencoder()
    decode = model.decode
    model.decode = lambda z: asked.append(z) or decode(z)
    CodeArithmetic(num_rows=3, num_codes=3, num_variations=40).draw(Scene(data, 1), model)
    ((_, captions, *_),) = drawn
    z = asked[-1].view(3, 44, 64)
    deviations = (2 * x.flatten(1)).std(0, correction=0)
    for row, names in zip(z, captions, strict=True):
        for mean, name in zip(row, names[:3], strict=False):
            first = x[label == int(name.removeprefix("class "))][:3]
            torch.testing.assert_close(mean, 2 * first.flatten(1).mean(0))
        torch.testing.assert_close(row[3], row[0] - row[1] + row[2])
        noise = (row[4:] - row[3]) / deviations
        assert noise.abs().max() <= NOISE + 1e-5
        assert noise.std() == pytest.approx(NOISE / math.sqrt(3), rel=0.1)
    data.examples = lambda split, n: Batch(x, label % 2)
    with pytest.raises(NotShown, match="3 examples each of 2 classes were found, not of 3"):
        CodeArithmetic(num_rows=3, num_codes=3, num_variations=4).draw(Scene(data, 1), model)


def test_arithmetic_leaves_out_classes_of_too_few_codes_and_needs_three(monkeypatch):
    rare = classifier(lambda x: torch.eye(4)[(torch.arange(len(x)) % 3).where(torch.arange(len(x)) > 1, 3)])
    _, captions = arithmetic(monkeypatch, GAN(), rare)
    assert {name for names in captions for name in names[:3]} == {"class 0", "class 1", "class 2"}
    two = classifier(lambda x: torch.eye(4)[torch.arange(len(x)) % 2])
    with pytest.raises(NotShown, match="3 samples each of 2 classes were found, not of 3"):
        arithmetic(monkeypatch, GAN(), two)
    two.num_classes = None
    with pytest.raises(NotShown, match="no network tells the classes of the data"):
        arithmetic(monkeypatch, GAN(), two)


# Nearest neighbours


class Features(torch.nn.Module):
    """The first three pixels."""

    name = "three pixels"
    asked = 0

    def features(self, x):
        self.asked += len(x)
        return x.flatten(1)[:, :3]


def test_samples_stand_beside_their_nearest_in_pixels_and_in_features(monkeypatch, pages):
    extractor = Features()
    monkeypatch.setattr("pmodel.figures.neighbours.feature_extractor", lambda data, cache_dir: extractor)
    data, model = image_data(), GAN()
    figure = NearestNeighbours(num_images=2, num_neighbours=3)
    for _ in range(2):
        figure.draw(Scene(data, 4), model)
    # Of training and of validation examples once, of samples each time.
    assert extractor.asked == 120 + 30 + 2 * 200
    train, validation = (data.examples(split, 200).x for split in ("train", "validation"))
    x = model.sample(200, generator=torch.Generator().manual_seed(0))
    samples, *blocks, page, _ = (panels[0] for panels in pages[:5])
    assert (samples[""] == captioned_grid(x[:2], [""] * 2, 1, min_size=80)).all()
    assert list(page) == ["samples", "nearest in pixels", "nearest in features: three pixels"]
    for (title, block), D in zip(((*panel.items(),)[0] for panel in blocks), (64, 3), strict=True):
        flat, others, real = (part.flatten(1)[:, :D] for part in (x, train, validation))
        distances = torch.cdist(flat, others, compute_mode="donot_use_mm_for_euclid_dist")
        found = distances[:2].sort(1)
        captions = [f"{d:.2f}" for d in found.values[:, :3].flatten().tolist()]
        assert (block == captioned_grid(train[found.indices[:, :3].flatten()], captions, 3, min_size=80)).all()
        of_samples, of_real = distances.amin(1).median(), torch.cdist(real, others).amin(1).median()
        assert title == f"medians: 200 samples {of_samples:.2f}, 30 validation examples {of_real:.2f}"
    assert list(pages[4][0]) == ["samples after 4 epochs and their distances to the nearest of 120 training examples"]


def test_a_model_that_repeats_training_examples_is_at_no_distance_from_them(monkeypatch, pages):
    monkeypatch.setattr("pmodel.figures.neighbours.feature_extractor", lambda data, cache_dir: Features())
    data, model = image_data(num_train=3, num_validation=0), GAN()
    train = data.examples("train", 3).x
    model.sample = lambda n, *, generator: train[torch.arange(n) % 3]
    NearestNeighbours(num_images=2, num_neighbours=4).draw(Scene(data, 1), model)
    assert list(pages[1][0]) == ["medians: 200 samples 0.00"]


def test_neighbours_of_a_model_without_a_discriminator_are_shown_if_those_of_all_models_are(monkeypatch):
    monkeypatch.setattr("pmodel.figures.neighbours.feature_extractor", lambda data, cache_dir: Features())
    sampler = FakeModel(sample=GAN().sample)
    assert is_drawn(NearestNeighbours(all_models=True).draw(Scene(image_data(), 1), sampler))


# The discriminator


@pytest.mark.parametrize("D", [1, 2])
def test_the_field_is_of_the_discriminator_below_real_and_generated_points(D, monkeypatch):
    data, model = points(D), PlaneModel(D=D)
    assert is_drawn(DiscriminatorField().draw(Scene(data, 1), model))
    drawn = noted(monkeypatch, f"plots.fields.{'field_on_line' if D == 1 else 'field_on_plane'}")
    model.units = {"d_real": "D(x), probability"}
    DiscriminatorField(60).draw(Scene(data, 1), model)
    ((real, generated, frame, verdicts, label),) = drawn
    expected = model.sample(60, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(real, data.examples("validation", 60).x)
    assert np.array_equal(generated, expected)
    shape = tuple(len(axis) for axis in reversed(frame.axes))
    np.testing.assert_allclose(verdicts, np.broadcast_to(1 / (1 + np.exp(-frame.axes[0])), shape), rtol=1e-5)
    assert label == "D(x), probability"
    assert frame.names == (["x"] if D == 1 else ["$x_{1}$", "$x_{2}$"])
    assert frame.title == "D(x) after 1 epoch, 60 validation points and as many samples"


@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("value", [0.3, 1e6, np.nan])
def test_fields_of_constant_far_and_undefined_numbers_are_drawn(D, value):
    model = PlaneModel(D=D, shift=value, discriminate=lambda x: torch.full((len(x),), value))
    assert is_drawn(DiscriminatorField().draw(Scene(points(D, num_validation=0), 1), model))


# Curves


def test_curves_begin_with_what_the_model_is_judged_by_and_share_declared_panels(monkeypatch):
    drawn = noted(monkeypatch, "plots.plots.curves")
    figure = LossCurves()
    names = ["d_real", "d_fake", "generator_loss", "discriminator_loss", *"abcdef"]
    for epoch in range(2):
        metrics = {f"{split}/{name}": torch.rand(()) for split in ("val", "train") for name in names}
        metrics["val/frechet"] = torch.tensor(2.0 - epoch)
        figure.note(SimpleNamespace(callback_metrics=metrics, current_epoch=epoch))
    model = SimpleNamespace(
        monitor="val/frechet",
        headline=("discriminator_loss", "generator_loss"),
        units={"discriminator_loss": "nats", "d_real": "probability"},
        panels={"D(x)": ("d_real", "d_fake"), "more": ("none",)},
    )
    figure.draw(Scene(image_data(), 2), model)
    ((panels, best),) = drawn
    expected = ["frechet", "discriminator_loss (nats)", "generator_loss", "D(x)", "a", "b", "c", "d"]
    assert list(panels) == expected
    assert list(panels["a"]) == ["train", "val"]
    assert list(panels["D(x)"]) == ["d_real, train", "d_real, val", "d_fake, train", "d_fake, val"]
    assert panels["frechet"] == {"val": ([1, 2], [2.0, 1.0])}
    assert best == (2, 1.0)


# What none of them fits


def test_an_epoch_of_a_model_that_draws_slowly_or_not_at_all_or_of_other_points_leaves_no_history():
    three, slow = SimpleNamespace(shape=(3,)), FakeModel(sample=None, log_prob_per_pixel=None)
    for data, model in ((image_data(), FakeModel()), (image_data(), slow), (three, PlaneModel(D=3))):
        figure = SamplesOverTime()
        figure.note(FakeTrainer(data, model))
        assert not figure.state


def test_a_run_of_a_gan_leaves_them_and_its_checkpoint_their_history(train, tmp_path):
    outcome = train("model=gan", "data.limit=64", "trainer.max_epochs=2", "callbacks.frechet=null", "logger=none")
    assert outcome.code == 0, outcome.err
    run = run_directory(tmp_path / "logs")
    drawn = {f.stem for f in run.glob("figures/*.png")}
    expected = {"data", "samples", "samples_over_time", "interpolations", "traversals", "neighbours", "loss_curves"}
    # With a class too rare among the samples of an untrained model, there may be no arithmetic.
    assert drawn - {"arithmetic"} == expected
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    (figures,) = (state for name, state in checkpoint["callbacks"].items() if name.startswith("Figures"))
    assert {epoch: drawn.shape for epoch, drawn in figures["samples_over_time"].items()} == {
        1: (12, 1, 8, 8),
        2: (12, 1, 8, 8),
    }
