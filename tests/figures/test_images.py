"""Figures of images: completions, maps of the likelihood, and samples of each class, asked of tiny models."""

import math

import numpy as np
import pytest
import torch
from built import Completions, LikelihoodMap, SampleGrid
from figure_parts import FakeModel, data_of, noted
from support import run_directory

from pmodel.figures.figure import Scene
from pmodel.plots.grids import hidden, image_grid


def scene_with(x, class_names=None):
    """A scene of data with these validation examples, of which alone these figures ask."""
    return Scene(data_of(x[:0], x, class_names=class_names), 1)


def images(n, C=1, H=7, W=6):
    return torch.randint(3, (n, C, H, W), generator=torch.Generator().manual_seed(0)) / 2


@pytest.fixture
def panels(monkeypatch):
    """The panels of each page, in the order of drawing."""
    return noted(monkeypatch, "figures.completions.side_by_side", "figures.images.side_by_side")


@pytest.mark.parametrize("C", [1, 3])
def test_each_completion_stands_in_the_row_of_its_image_and_the_lower_half_is_hidden(C, panels):
    x = images(4, C)
    asked = []

    def complete(x, known, *, generator):
        asked.append((x, known, torch.rand(1, generator=generator).item()))
        number = torch.linspace(0, 1, len(x)).view(-1, 1, 1, 1).expand_as(x)
        return torch.where(known, x, number)

    model = FakeModel(complete=complete)
    for _ in range(2):
        Completions(num_images=3, num_ways=5).draw(scene_with(x), model)
    (given, known, noise), (_, _, noise_again) = asked
    assert noise == noise_again
    assert torch.equal(given, x[:3].repeat_interleave(5, 0))
    assert known[:, :, :3].all()
    assert not known[:, :, 3:].any()
    page, *_ = panels[0]
    assert list(page) == ["given", "completions", "original"]
    expected = x[:3].repeat_interleave(5, 0).clone()
    expected[:, :, 3:] = torch.linspace(0, 1, 15).view(-1, 1, 1, 1)
    assert (page["completions"] == image_grid(expected, 5)).all()
    assert (page["original"] == image_grid(x[:3], 1)).all()
    assert (page["given"] == image_grid(hidden(x[:3], known[::5]), 1)).all()


def test_likelihood_map_shows_bits_of_pixels_with_totals_of_images(monkeypatch):
    drawn = noted(monkeypatch, "plots.likelihoods.likelihood_maps")
    x = images(3, C=3)
    log_prob = -torch.rand(3, 7, 6) - torch.tensor([0, 1, 100]).view(3, 1, 1)
    model = FakeModel(log_prob_per_pixel=lambda x: log_prob[: len(x)])
    LikelihoodMap(num_images=3).draw(scene_with(x), model)
    ((shown, bits, captions),) = drawn
    assert torch.equal(shown, x)
    np.testing.assert_allclose(bits, -np.log2(np.exp(1)) * log_prob.numpy(), rtol=1e-6)
    totals = -log_prob.double().sum((1, 2))
    bits_per_dim = totals / (3 * 7 * 6 * math.log(2))
    expected = [f"{nats:,.1f} nats\n{bits:.2f} bits/dim" for nats, bits in zip(totals, bits_per_dim, strict=True)]
    assert captions == expected
    assert expected[2].startswith("4,2")


def class_model(num_classes, asked):
    def sample_classes(label, *, generator):
        asked.append(label)
        return (label / num_classes).view(-1, 1, 1, 1).expand(-1, 1, 7, 6)

    def sample(n, *, generator):
        return torch.zeros(n, 1, 7, 6)

    return FakeModel(sample=sample, sample_classes=sample_classes, num_classes=num_classes)


@pytest.mark.parametrize(
    ("num_images", "num_classes", "shown", "count", "columns"),
    [(64, 10, 10, 6, 1), (64, 2, 2, 32, 4), (64, 1, 1, 64, 8), (64, 100, 16, 4, 1), (2, 10, 1, 2, 1), (1, 3, 1, 1, 1)],
)
def test_each_class_has_a_block_of_samples_under_its_name(num_images, num_classes, shown, count, columns, panels):
    names = tuple(f"class {k}" for k in range(num_classes))
    asked = []
    SampleGrid(num_images).draw(scene_with(images(2), class_names=names), class_model(num_classes, asked))
    assert asked[0].tolist() == [k for k in range(shown) for _ in range(count)]
    (blocks, _), (page,) = panels
    assert list(blocks) == list(names[:shown])
    for k, block in enumerate(blocks.values()):
        assert (block == image_grid(torch.full((count, 1, 7, 6), k / num_classes), columns)).all()
    some = "" if shown == num_classes else f", the first {shown} of {num_classes} classes"
    assert list(page) == [f"samples x ~ p(x | class){some}"]


def test_classes_without_names_have_numbers_and_a_model_without_classes_is_sampled_as_any_other(panels):
    SampleGrid(8).draw(scene_with(images(2)), class_model(2, []))
    assert list(panels[0][0]) == ["0", "1"]
    SampleGrid(8).draw(scene_with(images(2)), class_model(None, asked := []))
    assert not asked
    assert list(panels[2][0]) == ["samples x ~ p(x)"]


@pytest.mark.parametrize("settings", [[], ["data.binarize=dynamic", "model.class_conditional=true"]], ids=str)
def test_a_run_of_an_autoregressive_model_leaves_them(settings, train, tmp_path):
    outcome = train("model=pixelcnn", "data.limit=64", "trainer.max_epochs=1", *settings)
    assert outcome.code == 0, outcome.err
    drawn = {f.stem for f in run_directory(tmp_path / "logs").glob("figures/*.png")}
    assert drawn == {"data", "samples", "completions", "likelihood_map"}
