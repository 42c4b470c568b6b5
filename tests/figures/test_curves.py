"""Loss curves, and what one fit has found in their place."""

import numpy as np
import pytest
import torch
from built import GMM, KDE, PCA, BestCheckpoint
from figure_parts import FakeModel, data_of, is_drawn, noted
from matplotlib.axes import Axes
from support import array_data, fit

from pmodel.callbacks.figures import Figures
from pmodel.figures.curves import LossCurves, best_epoch
from pmodel.figures.figure import NotShown, Scene
from pmodel.figures.fits import Bandwidths, Spectrum
from pmodel.plots import fits, plots

DATA = data_of(torch.rand(20, 1, 8, 8), torch.rand(5, 1, 8, 8))
EPOCHS = [1, 2, 3]


def drawn(monkeypatch, history, model=None, data=DATA):
    """The panels and the best epoch of this history, whose values are of epochs 1, 2, …"""
    calls = noted(monkeypatch, "plots.plots.curves")
    figure = LossCurves()
    figure.state = {name: (list(range(1, len(values) + 1)), values) for name, values in history.items()}
    figure.draw(Scene(data, 3), model or FakeModel())
    return calls[-1]


def test_one_epoch_is_no_curve_and_a_quantity_with_one_value_no_panel(monkeypatch):
    with pytest.raises(NotShown, match="one epoch makes no curve"):
        drawn(monkeypatch, {"train/loss": [1.0], "val/loss": [2.0]})
    panels, _ = drawn(monkeypatch, {"train/loss": [1.0, 2.0], "val/frechet": [3.0]})
    assert list(panels) == ["loss"]


def test_what_mirrors_another_quantity_in_every_epoch_is_named_in_its_title(monkeypatch):
    loss, validation = [103.25, 99.5, 98.0], [104.0, 101.0, 102.0]
    history = {"train/loss": loss, "val/loss": validation, "train/kl": [1.0, 2.0, 3.0]}
    history |= {"train/elbo": [-x for x in loss], "val/elbo": [-x for x in validation]}
    model = FakeModel(units={"loss": "nats", "elbo": "nats"})
    panels, _ = drawn(monkeypatch, history, model)
    assert list(panels) == ["loss = −elbo (nats)", "kl"]
    assert panels["loss = −elbo (nats)"] == {"train": (EPOCHS, loss), "val": (EPOCHS, validation)}
    # One epoch that differs by a hundred-thousandth is another quantity.
    history["val/elbo"][1] *= 1 + 1e-5
    panels, _ = drawn(monkeypatch, history, model)
    assert list(panels) == ["loss (nats)", "kl", "elbo (nats)"]


def test_a_multiple_is_named_with_its_factor_and_constants_are_multiples_of_nothing(monkeypatch):
    distance = [30.0, 20.0, 19.0]
    history = {
        "train/distance": distance,
        "val/distance": [31.0, 21.0, 20.0],
        "train/inertia": [500 * x for x in distance],
    }
    panels, _ = drawn(monkeypatch, history, FakeModel(monitor="train/distance"))
    assert list(panels) == ["distance\ninertia is 500 × this"]
    panels, _ = drawn(monkeypatch, {"train/beta": [1.0, 1.0], "train/gamma": [2.0, 2.0]})
    assert list(panels) == ["beta", "gamma"]


def test_the_best_epoch_is_the_first_with_the_best_value_of_what_best_ckpt_follows(monkeypatch):
    history = {"train/loss": [9.0, 5.0, 4.0], "val/loss": [3.0, 2.0, 2.0]}
    assert drawn(monkeypatch, history)[1] == (2, 2.0)
    unvalidated = data_of(torch.rand(20, 1, 8, 8), torch.rand(0, 1, 8, 8))
    assert drawn(monkeypatch, history, data=unvalidated)[1] == (3, 4.0)
    assert drawn(monkeypatch, {"train/kl": [1.0, 2.0]})[1] is None
    score = {"val/score": ([1, 2, 3], [0.1, float("nan"), 0.3])}
    assert best_epoch(score, "val/score", "max") == (3, 0.3)
    assert best_epoch(score, "val/score", "min") == (1, 0.1)


def test_the_marked_epoch_is_that_of_best_ckpt(monkeypatch, tmp_path):
    calls = noted(monkeypatch, "plots.plots.curves")
    figures = Figures(str(tmp_path), {"loss_curves": {"_target_": "pmodel.figures.curves.LossCurves"}}, 100)
    best = BestCheckpoint(str(tmp_path))
    # So few examples, and so many components, that validation turns up early.
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(3))
    data = array_data(x[:40])
    data.parts["validation"] = x[40:]
    fit(GMM([2], 12, "full", start="random", tolerance=0.0), data, max_epochs=8, callbacks=[best, figures])
    assert calls[-1][1] == (best.best_epoch, pytest.approx(best.best_metrics["val/nll"]))
    assert 1 < best.best_epoch < 8


def test_epochs_are_whole_and_the_best_one_stands_in_every_panel(monkeypatch):
    lines, shown = [], []
    monkeypatch.setattr(Axes, "axvline", lambda axes, x, **style: lines.append((x, style.get("label"))))
    monkeypatch.setattr(plots, "render", lambda figure: shown.append(figure) or np.zeros((4, 4, 3), np.uint8))
    series = {"loss": {"train": ([1, 2], [3.0, -2.5])}, "kl": {"train": ([1, 2], [3.0, 2.0])}}
    plots.curves(series, (2, -2.5))
    assert lines == [(2, "best.ckpt: −2.5, epoch 2"), (2, None)]
    for axes in shown[0].axes:
        assert all(tick == round(tick) for tick in axes.get_xticks())


# One fit


@pytest.mark.parametrize("shares", [[0.6, 0.3, 0.1], [1.0], [1 / 2000] * 784, [0.5, 0.0], [0.0, 0.0]])
def test_spectra_are_drawn(shares):
    assert is_drawn(fits.spectrum(np.array(shares)))


def test_the_spectrum_is_that_of_the_data(monkeypatch):
    calls = noted(monkeypatch, "plots.fits.spectrum")
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 2.0, 1.0])
    data = array_data(x)
    model = PCA([3], 2)
    fit(model, data, max_epochs=1)
    Spectrum().draw(Scene(data, 1), model)
    ((shares,),) = calls
    expected = np.linalg.eigvalsh(np.cov(data.examples("train", 400).x.numpy().T))[::-1]
    np.testing.assert_allclose(shares, expected[:2] / expected.sum(), rtol=1e-5)


def test_the_chosen_bandwidth_stands_at_the_best_held_out_density(monkeypatch):
    calls = noted(monkeypatch, "plots.fits.bandwidths")
    data = array_data(torch.randn(300, 2, generator=torch.Generator().manual_seed(0)))
    chosen, wide = KDE([2], None, "held_out"), KDE([2], None, 2.0)
    for model in (chosen, wide):
        fit(model, data, max_epochs=1)
        Bandwidths(6).draw(Scene(data, 1), model)
    (widths, log_prob, used, _), (wide_widths, wide_log_prob, *_) = calls
    assert widths[used] == pytest.approx(chosen.bandwidths.mean().item())
    assert abs(log_prob.argmax() - used) <= 1
    assert wide_widths[used] == pytest.approx(2.0)
    assert wide_log_prob.argmax() < used
    # What a fit says of its own bandwidth, and what the curve has there, is one number.
    assert wide_log_prob[used] == pytest.approx(wide._held_out_log_prob(wide.bandwidths, torch.ones(1)).item())


def test_bandwidths_are_drawn_and_one_example_has_none():
    widths = np.geomspace(0.01, 10, 9)
    log_prob = -((np.log(widths) + 1) ** 2) - 1e7 * (widths < 0.02)
    for used in (0, 4, 8):
        assert is_drawn(fits.bandwidths(widths, log_prob, used, "bandwidth"))
    assert is_drawn(fits.bandwidths(widths, np.full(9, -3.0), 4, "bandwidth"))
    model = FakeModel(bandwidths=torch.ones(1), held_out_log_prob=lambda ratios: ratios)
    with pytest.raises(NotShown, match="only one training example"):
        Bandwidths(4).draw(Scene(data_of(torch.rand(1, 2), torch.rand(1, 2)), 1), model)
