"""The row of images by which a report introduces a model, for each kind of model."""

import numpy as np
import pytest
import torch
from built import Glance
from figure_parts import FakeModel, data_of
from support import array_data

from pmodel.figures.figure import NotShown, Scene
from pmodel.plots.grids import image_grid, side_by_side

X = torch.rand(9, 1, 7, 6, generator=torch.Generator().manual_seed(0))
SCENE = Scene(data_of(X[:0], X), 1)


def never(*args, **kwargs):
    raise AssertionError("asked for nothing")


def drawn(**answers):
    return Glance(num_images=3, num_points=50).draw(SCENE, FakeModel(**answers))


def test_samples_stand_in_one_row_before_all_else():
    def sample(n, *, generator):
        return torch.rand(n, 1, 7, 6, generator=generator)

    first, second = (drawn(sample=sample, reconstruct=never, clusters=never) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(first, image_grid(sample(3, generator=torch.Generator().manual_seed(0)), 3))


def test_a_model_of_classes_shows_one_of_each_in_turn():
    def sample_classes(label, *, generator):
        return (label / 4).view(-1, 1, 1, 1).repeat(1, 1, 7, 6)

    model = {"sample": never, "sample_classes": sample_classes, "num_classes": 2}
    assert np.array_equal(drawn(**model), image_grid(sample_classes(torch.tensor([0, 1, 0]), generator=None), 3))


def test_centres_are_those_of_the_largest_clusters():
    shares = torch.tensor([0.1, 0.4, 0.2, 0.3])
    image = drawn(clusters=lambda: (X[:4], shares), reconstruct=never)
    expected = side_by_side({"centres of the largest clusters": image_grid(X[[1, 3, 2]], 3)})
    assert np.array_equal(image, expected)


def test_reconstructions_stand_below_their_examples():
    image = drawn(reconstruct=lambda x: 1 - x)
    rows = image_grid(torch.cat([X[:3], 1 - X[:3]]), 3)
    assert np.array_equal(image, side_by_side({"examples, and their reconstructions": rows}))


def test_a_model_of_points_shows_its_density_else_its_samples():
    points = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    scene, figure = Scene(array_data(points), 1), Glance(num_images=3, num_points=50)
    asked = []

    def log_prob(x):
        asked.append(len(x))
        return -x.square().sum(1) / 2

    def sample(n, *, generator):
        asked.append("samples")
        return torch.zeros(n, 2)

    assert figure.draw(scene, FakeModel(log_prob=log_prob, sample=sample)).std() > 0
    assert "samples" not in asked
    assert figure.draw(scene, FakeModel(sample=sample)).std() > 0
    assert asked[-1] == "samples"


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, 7, 6), "the model neither samples nor clusters nor reconstructs"),
        ((2,), "the model has no density, and neither samples nor clusters nor reconstructs"),
        ((3,), "the points have 3 dimensions, not 1 or 2"),
    ],
)
def test_a_model_that_makes_nothing_has_none(shape, reason):
    x = torch.zeros(5, *shape)
    with pytest.raises(NotShown) as found:
        Glance().draw(Scene(data_of(x, x), 1), FakeModel())
    assert str(found.value) == reason
