"""When figures are drawn, and those of clusters, components and densities, asked of tiny models."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from built import ClusterCentres, ClusterMap, DensityFigure, PrincipalComponentsFigure
from figure_parts import FakeModel, FakeTrainer, data_of, is_drawn, noted, points
from support import array_data

from pmodel.callbacks.figures import Figures
from pmodel.figures.components import around_grey
from pmodel.figures.figure import Scene


def constant_figure(keeps_history, of_data=False):
    name = "data" if of_data else "kept" if keeps_history else "latest"
    drawn = []

    def draw(scene, model):
        drawn.append(scene.epochs)
        return np.full((2, 2, 3), len(drawn), np.uint8)

    what = {"name": name, "keeps_history": keeps_history, "of_data": of_data}
    return SimpleNamespace(**what, draw=draw, note=lambda trainer: None, state=None, drawn=drawn)


def figures_of(tmp_path, *figures, every_n_epochs=10):
    callback = Figures(str(tmp_path / "figures"), {}, every_n_epochs)
    callback.figures = list(figures)
    return callback


def files(tmp_path):
    return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")}


def test_figures_are_drawn_early_regularly_and_at_the_end_even_without_an_optimizer(tmp_path):
    kept, latest = constant_figure(True), constant_figure(False)
    callback, trainer, model = figures_of(tmp_path, kept, latest), FakeTrainer(), FakeModel()
    for epoch in range(1, 24):
        trainer.go_to(epoch)
        callback.on_train_epoch_end(trainer, model)
    callback.on_train_end(trainer, model)
    assert kept.drawn == latest.drawn == [1, 2, 5, 10, 20, 23]
    history = {f"figures/kept/epoch_{epoch:03d}.png" for epoch in (1, 2, 5, 10, 20)}
    assert files(tmp_path) == {"figures/kept.png", "figures/latest.png"} | history


def test_the_end_is_drawn_once_and_again_only_if_a_batch_came_after_the_epoch(tmp_path):
    figure = constant_figure(False)
    callback, trainer = figures_of(tmp_path, figure), FakeTrainer()
    callback.on_train_epoch_end(trainer, FakeModel())
    callback.on_train_end(trainer, FakeModel())
    assert figure.drawn == [1]
    trainer.go_to(1, batches=13)
    callback.on_train_end(trainer, FakeModel())
    assert figure.drawn == [1, 1]


def test_the_data_are_drawn_before_the_first_step_and_not_again(tmp_path):
    data, latest = constant_figure(False, of_data=True), constant_figure(False)
    trainer, model = FakeTrainer(epochs=0), FakeModel()
    callback = figures_of(tmp_path, data, latest)
    callback.on_train_start(trainer, model)
    assert files(tmp_path) == {"figures/data.png"}
    trainer.go_to(1)
    callback.on_train_epoch_end(trainer, model)
    assert [figure for figure, _ in callback.drawn(Scene(None, 1), model)] == [latest]
    resumed = figures_of(tmp_path, data, latest)
    resumed.on_train_start(trainer, model)
    assert data.drawn == [0]


# Models of points: a Gaussian mixture and a few of its special cases.


def mixture(weights, means, stds):
    weights, means = torch.tensor(weights).double(), torch.tensor(means).double()
    covariances = torch.tensor(stds).double()[:, None, None] ** 2 * torch.eye(means.shape[1])

    def joint(x):
        normal = torch.distributions.MultivariateNormal(means, covariances)
        return normal.log_prob(x.double()[:, None]) + weights.log()

    return FakeModel(
        log_prob=lambda x: joint(x).logsumexp(1),
        assign=lambda x: joint(x).argmax(1),
        clusters=lambda: (means, weights),
        gaussian_components=lambda: (weights, means, covariances),
    )


LINE = mixture([0.5, 0.5], [[-1.0], [1.0]], [0.4, 0.6])
PLANE = mixture([0.2, 0.8], [[-1.0, 0.0], [1.0, 1.0]], [0.4, 0.6])


IMAGES = data_of(torch.rand(200, 1, 8, 8), torch.rand(20, 1, 8, 8))


@pytest.mark.parametrize("figure", [DensityFigure(), ClusterMap()], ids=lambda figure: type(figure).__name__)
@pytest.mark.parametrize(("name", "D", "model"), [("mixture_1d", 1, LINE), ("ring", 2, PLANE), ("moons", 2, PLANE)])
def test_points_are_drawn(figure, name, D, model):
    assert is_drawn(figure.draw(Scene(points(D, name=name), 1), model))


def test_density_is_asked_for_in_parts_of_float32_and_may_be_minus_infinity():
    seen = []

    def log_prob(x):
        seen.append((len(x), x.dtype))
        return torch.where(x[:, 0] > 0, -x.square().sum(1), -torch.inf)

    image = DensityFigure(100).draw(Scene(points(2, name="moons"), 1), FakeModel(log_prob=log_prob))
    assert is_drawn(image)
    assert max(n for n, _ in seen) <= 10_000
    assert {dtype for _, dtype in seen} == {torch.float32}


@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("constant", [True, False])
def test_constant_points_one_cluster_and_more_centres_than_points_are_drawn(D, constant):
    scene = Scene(array_data(torch.full((4, D), 3.0) if constant else torch.randn(30, D)), 1)
    many = mixture([1 / 60] * 60, [[3.0] * D] * 60, [0.1] * 60)
    many.clusters = lambda: (torch.full((60, D), 3.0), torch.eye(60)[7])
    only_assigns = FakeModel(assign=lambda x: torch.zeros(len(x), dtype=torch.int64))
    one = FakeModel(assign=only_assigns.assign, clusters=lambda: (torch.zeros(1, D), torch.ones(1)))
    assert is_drawn(DensityFigure().draw(scene, many))
    for model in (many, only_assigns, one):
        assert is_drawn(ClusterMap().draw(scene, model))


def test_centres_stand_in_falling_order_with_counts_that_add_up(monkeypatch):
    drawn = noted(monkeypatch, "figures.clusters.captioned_grid")
    counts = torch.tensor([20, 0, 130, 50])
    centres = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 8, 8)
    model = FakeModel(clusters=lambda: (centres, counts / counts.sum()))
    for num_centres in (40, 2):
        ClusterCentres(num_centres).draw(Scene(IMAGES, 1), model)
    (images, captions, _), (largest, *_) = drawn
    assert images[:, 0, 0, 0].tolist() == [2, 3, 0, 1]
    assert captions == ["65.0%\n130", "25.0%\n50", "10.0%\n20", "0.0%\n0"]
    assert largest[:, 0, 0, 0].tolist() == [2, 3]


@pytest.mark.parametrize("C", [1, 3])
def test_centres_and_components_of_images_are_drawn(C):
    scene = Scene(IMAGES, 1)
    one = FakeModel(clusters=lambda: (torch.rand(1, C, 8, 8), torch.ones(1)))
    assert is_drawn(ClusterCentres().draw(scene, one))
    components = torch.linalg.qr(torch.randn(C * 64, 12)).Q.T.reshape(12, C, 8, 8)
    shares = torch.linspace(0.15, 0.01, 12)
    model = FakeModel(principal_components=lambda: (torch.rand(C, 8, 8), components, shares))
    for num in (1, 31):
        assert is_drawn(PrincipalComponentsFigure(num).draw(scene, model))


def test_components_are_scaled_about_grey_each_by_its_largest_entry():
    directions = torch.tensor([[0.1, -0.4], [0.5, 0.25], [0.0, 0.0]]).view(3, 1, 1, 2)
    expected = torch.tensor([[0.625, 0.0], [1.0, 0.75], [0.5, 0.5]])
    torch.testing.assert_close(around_grey(directions).view(3, 2), expected)


@pytest.mark.parametrize("shares", [[0.9, 0.1], [1.0, 0.0], [0.0, 0.0], [float("nan")] * 2])
def test_components_of_points_in_the_plane_are_drawn(shares):
    model = FakeModel(principal_components=lambda: (torch.zeros(2), torch.eye(2), torch.tensor(shares)))
    assert is_drawn(PrincipalComponentsFigure().draw(Scene(points(2, name="moons"), 1), model))
