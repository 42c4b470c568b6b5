"""Clusters from their start on."""

import numpy as np
import pytest
import torch
from built import GMM, KMeans
from figure_parts import is_drawn, noted, points
from support import array_data, fit

from pmodel.callbacks.figures import Figures
from pmodel.figures.figure import NotShown, Scene
from pmodel.figures.fit_over_time import spread

NODE = {"_target_": "pmodel.figures.fit_over_time.FitOverTime", "num_points": 150, "num_panels": 4}


def trained(tmp_path, model, max_epochs, data=None):
    """The callback with its figure after so many epochs, the model, and its data."""
    data = data or points(2, name="moons", num_train=200)
    figures = Figures(str(tmp_path / "figures"), {"fit_over_time": NODE}, 100)
    fit(model, data, max_epochs=max_epochs, callbacks=[figures])
    return figures, model, data


def test_a_fit_is_shown_from_its_start_to_its_newest_epoch_and_gets_better(tmp_path, monkeypatch):
    callback, model, data = trained(tmp_path, KMeans([2], 6, "random", num_starts=1), 7)
    (figure,), scene = callback.figures, Scene(data, int(model.num_refits))
    assert is_drawn(figure.draw(scene, model))
    calls = noted(monkeypatch, "plots.clusters.fits_on_plane")
    figure.draw(scene, model)
    ((x, panels, _),) = calls
    assert list(figure.state)[:4] == [0, 1, 2, 4]
    epochs = [title.split(":")[0] for title in panels]
    assert len(epochs) == 4
    assert (epochs[0], epochs[-1]) == ("start", f"epoch {scene.epochs}")
    first, *_, last = panels.values()
    np.testing.assert_allclose(last.centres, model.centres)
    # Each of the starting centres is a training example.
    train = data.examples("train", 200).x.double()
    assert torch.cdist(torch.from_numpy(first.centres), train).min(1)[0].max() < 1e-6
    distances = [float(title.split()[-1]) for title in panels]
    assert distances == sorted(distances, reverse=True)
    for panel in panels.values():
        expected = torch.cdist(torch.from_numpy(x), torch.from_numpy(panel.centres).float()).argmin(1)
        assert (expected.numpy() == panel.labels).mean() > 0.98


def test_a_mixtures_ellipses_are_those_of_their_epochs(tmp_path, monkeypatch):
    calls = noted(monkeypatch, "plots.clusters.fits_on_plane")
    callback, model, data = trained(tmp_path, GMM([2], 4, "full", start="random"), 3)
    callback.figures[0].draw(Scene(data, 3), model)
    *_, (_, panels, frame) = calls
    assert "mean log p(x)" in frame.title
    start, *_, last = panels.values()
    np.testing.assert_allclose(last.gaussians[2], model.gaussians.covariances(), rtol=1e-6)
    # All start with the covariance of the data.
    np.testing.assert_allclose(start.gaussians[2], np.broadcast_to(start.gaussians[2][0], (4, 2, 2)))
    values = [float(title.split()[-1].replace("−", "-")) for title in panels]
    assert values[-1] > values[0]


def test_its_history_is_part_of_a_checkpoint(tmp_path):
    callback, model, data = trained(tmp_path, KMeans([2], 3, "random"), 2)
    torch.save(callback.state_dict(), tmp_path / "state.pt")
    again = Figures(str(tmp_path), {"fit_over_time": NODE}, 100)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    drawn = [of.figures[0].draw(Scene(data, 2), model) for of in (callback, again)]
    assert np.array_equal(*drawn)


def test_the_newest_epoch_alone_is_no_history_and_images_leave_none(tmp_path):
    callback, model, data = trained(tmp_path, KMeans([2], 3, "random"), 1)
    callback.figures[0].state = {}
    with pytest.raises(NotShown, match="no earlier epoch"):
        callback.figures[0].draw(Scene(data, 1), model)
    images = array_data(torch.randint(0, 3, (40, 1, 4, 4)) / 2, num_levels=3)
    callback, *_ = trained(tmp_path / "images", KMeans([1, 4, 4], 3, "random"), 1, images)
    assert callback.figures[0].state == {}


def test_panels_have_the_first_and_the_last_epoch():
    assert spread([0, 1, 2, 4, 8, 16, 30], 4) == [0, 2, 8, 30]
    assert spread([0, 1], 8) == [0, 1]
    assert spread(list(range(50)), 2) == [0, 49]
