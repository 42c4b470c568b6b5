"""Films: which one a model gets, that each moves and changes nothing, and that a run which goes on continues it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from built import GMM, KDE, PCA, KMeans
from figure_parts import FakeModel, FakeTrainer, data_of, noted, points
from PIL import Image
from support import array_data, config, fit, source

from pmodel import build
from pmodel.callbacks.film import Filming, is_tenth, steps_of, write_film
from pmodel.commands.figure_files import copy_film
from pmodel.figures.figure import Scene
from pmodel.figures.film_images import ComponentsFilm, RowsFilm
from pmodel.figures.film_points import BandwidthsFilm, ClustersFilm
from pmodel.reporting.report_images import image_of

NODE = config("callbacks=[default,film]")["callbacks"]["film"]
NODE["include"]["bandwidths"]["num_bandwidths"] = 5
SMALL = {"hidden_dims": [16]}
NETWORK = {part: {"_target_": f"pmodel.nets.mlp.MLP{part.title()}", **SMALL} for part in ("encoder", "decoder")}


def filming(folder: Path, **settings) -> Filming:
    """The callback as conf/ has it, with few frames, in a folder."""
    settings = {"num_frames": 4, "frames_per_second": None, "format": "gif", "include": NODE["include"]} | settings
    return Filming(str(folder), **settings)


def digits(num: int = 200):
    data = source("digits", limit=num, num_validation=50)
    data.setup("fit")
    return data


def cases():
    plane, line = {"data": points(2)}, {"data": points(1)}
    game = {"latent_dim": 2, "data_shape": [2], "num_levels": None, "num_classes": 8}
    tiny = {"hidden_channels": 4, "head_channels": 4}
    yield "ClustersFilm", lambda: (KMeans([2], 3, "far", num_starts=1), plane["data"])
    yield "ClustersFilm", lambda: (GMM([2], 3, "full", start="far"), plane["data"])
    yield "DensityFilm", lambda: (GMM([1], 3, "full", start="random"), line["data"])
    yield "BandwidthsFilm", lambda: (KDE([1], None, "held_out"), line["data"])
    yield "BandwidthsFilm", lambda: (KDE([2], None, "held_out"), plane["data"])
    yield "ComponentsFilm", lambda: (PCA([2], 2), plane["data"])
    yield "ComponentsFilm", lambda: (PCA([1, 8, 8], 4), digits())
    yield "CentresFilm", lambda: (KMeans([1, 8, 8], 5, "random"), digits())
    yield "GameFilm", lambda: (build("gan", data="points", **game), plane["data"])
    yield (
        "CloudFilm",
        lambda: (build("vae", data="points", data_shape=[2], latent_dim=2, network=NETWORK), plane["data"]),
    )
    yield "CodesFilm", lambda: (build("vae", data="digits", latent_dim=2, network=NETWORK), digits())
    yield "CodesFilm", lambda: (build("autoencoder", data="digits", latent_dim=2, network=NETWORK), digits())
    yield "ImagesFilm", lambda: (build("autoencoder", data="digits", latent_dim=4, network=NETWORK), digits())
    yield "ImagesFilm", lambda: (build("vae", data="digits", latent_dim=4, network=NETWORK), digits())
    yield "RowsFilm", lambda: (build("pixelrnn", data="digits", **tiny), digits(60))


@pytest.mark.parametrize(("kind", "made"), [pytest.param(*case, id=f"{i}-{case[0]}") for i, case in enumerate(cases())])
def test_each_model_gets_a_film_that_moves(kind, made, tmp_path):
    model, data = made()
    callback = filming(tmp_path)
    fit(model, data, max_epochs=3, callbacks=[callback])
    assert type(callback.film).__name__ == kind
    frames = sorted((tmp_path / "film").glob("*.png"))
    pictures = [np.asarray(Image.open(file)) for file in frames]
    assert len({picture.shape for picture in pictures}) == 1
    assert any((a != b).any() for a, b in pairwise(pictures))
    with Image.open(tmp_path / "film.gif") as film:
        # Pillow joins pictures that are equal.
        assert 1 < film.n_frames <= len(frames)
        assert film.info["loop"] == 0


def test_a_model_without_a_film_leaves_none_and_says_so(tmp_path, capsys):
    data = array_data(torch.rand(40, 3), num_validation=10)
    data.setup("fit")
    fit(KMeans([3], 2, "random"), data, callbacks=[filming(tmp_path)])
    assert list(tmp_path.iterdir()) == []
    assert "film      none" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["vae", "gan"])
def test_a_film_changes_nothing_about_the_training(option, tmp_path):
    settings = {"data": "points", "data_shape": [2], "num_levels": None, "latent_dim": 2}
    settings |= {"network": NETWORK} if option == "vae" else {"num_classes": 8}
    weights = []
    for callbacks in ([], [filming(tmp_path)]):
        torch.manual_seed(0)
        model = build(option, **settings)
        fit(model, points(2), max_steps=5, max_epochs=-1, callbacks=callbacks)
        weights.append(model.state_dict())
    assert (tmp_path / "film.gif").exists()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_run_that_goes_on_continues_its_film(tmp_path):
    def train(folder, max_epochs, checkpoint=None):
        torch.manual_seed(1)
        callback = filming(tmp_path / folder)
        trainer = fit(
            *(KMeans([2], 6, "far", num_starts=1, tolerance=0.0), points(2, name="moons"), checkpoint),
            max_epochs=max_epochs,
            callbacks=[callback],
        )
        trainer.save_checkpoint(tmp_path / "last.ckpt")

    train("whole", 4)
    train("parts", 2)
    train("parts", 4, tmp_path / "last.ckpt")
    whole, parts = ((tmp_path / folder / "film.gif").read_bytes() for folder in ("whole", "parts"))
    assert whole == parts


def test_pictures_are_dense_at_first_and_of_unknown_length_a_tenth_apart():
    trainer, model = FakeTrainer(), FakeModel()
    trainer.estimated_stepping_batches, trainer.accumulate_grad_batches = 100, 1
    assert sorted(steps_of(trainer, model, 10)) == [0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100]
    # Of optimizer steps that take two batches each.
    trainer.estimated_stepping_batches, trainer.accumulate_grad_batches = 50, 2
    assert max(steps_of(trainer, model, 10)) == 100
    trainer.estimated_stepping_batches = float("inf")
    assert steps_of(trainer, model, 10) is None
    # Of a fit by epochs, the batches of one.
    trainer.num_training_batches = 16
    assert sorted(steps_of(trainer, FakeModel(num_refits=0), 4)) == [0, 1, 4, 9, 16]
    assert [count for count in range(1, 40) if is_tenth(count)] == [*range(1, 20), *range(20, 30, 2), 30, 33, 36, 39]


def test_both_halves_of_a_k_means_step_are_shown(tmp_path, monkeypatch):
    calls = noted(monkeypatch, "plots.films.clusters_frame")
    data = points(2, name="moons")
    model = KMeans([2], 4, "random", num_starts=1)
    fit(model, data, max_epochs=3, callbacks=[filming(tmp_path)])
    words = [call[-1].title.split(";")[0] for call in calls]
    assert words[:4] == ["the start", "step 1: points choose", "step 1: centres move", "step 2: points choose"]
    x, *_ = calls[0]
    assert calls[0][1] is None
    for (_, choice, path, *_), (_, same, moved, *_) in zip(calls[1::2], calls[2::2], strict=False):
        # Points choose the nearest centre; then each centre is the mean of its points.
        assert (choice.argmax(1) == np.linalg.norm(x[:, None] - path[-1], axis=2).argmin(1)).all()
        assert (choice == same).all()
        means = [x[choice[:, k] == 1].mean(0) for k in range(4)]
        np.testing.assert_allclose(moved[-1], means, atol=1e-5)
    np.testing.assert_allclose(calls[-1][2][-1], model.centres)


def test_a_point_has_the_mixed_colours_of_its_responsibilities(monkeypatch):
    calls = noted(monkeypatch, "plots.films.clusters_frame")
    data, model = points(2), GMM([2], 3, "full", start="random")
    fit(model, data, max_epochs=2)
    list(ClustersFilm(50).frames(Scene(data, 2), model, 2))
    ((x, shares, *_),) = calls
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(shares, model.encode(torch.from_numpy(x)), rtol=1e-5)


def test_kernels_widen_and_each_density_integrates_to_one(monkeypatch):
    calls = noted(monkeypatch, "plots.films.kernels_frame")
    data, model = points(1), KDE([1], None, "held_out")
    fit(model, data, max_epochs=1)
    before = model.bandwidths.clone()
    list(BandwidthsFilm(100, 9).frames(Scene(data, 1), model, 1))
    assert torch.equal(model.bandwidths, before)
    widths = calls[0][4][0]
    np.testing.assert_allclose([widths[4], widths[-1] / widths[0]], [before.item(), 64])
    for (_, frame, density, *_), width in zip(calls[3:6], widths[3:6], strict=True):
        assert abs(np.trapezoid(density, frame.axes[0]) - 1) < 0.02, width


class Stop(ComponentsFilm):
    """Compares components with those of the points seen so far."""

    def frames(self, scene, model, step):
        if (found := model.components_so_far()) is not None:
            mean, directions, shares, count = found
            seen = np.array(self.state["seen"], dtype=float)
            assert count == len(seen)
            variances, vectors = np.linalg.eigh(np.cov(seen.T))
            np.testing.assert_allclose(mean, seen.mean(0), atol=1e-6)
            np.testing.assert_allclose(np.abs(directions.numpy() @ vectors[:, ::-1]), np.eye(2), atol=1e-5)
            np.testing.assert_allclose(shares, variances[::-1] / variances.sum(), atol=1e-6)
        yield from super().frames(scene, model, step)


def test_components_so_far_are_those_of_the_examples_so_far(tmp_path):
    data = source("points", shape=[2], name="moons", num_train=60, num_validation=20, batch_size=4)
    data.setup("fit")
    callback = filming(tmp_path, num_frames=15)
    callback.films = [Stop(2)]
    fit(PCA([2], 2), data, max_epochs=1, callbacks=[callback])
    assert len(list((tmp_path / "film").iterdir())) == 11


def test_pixels_appear_in_the_models_order_and_stay(monkeypatch):
    calls = noted(monkeypatch, "figures.film_images.image_grid")
    x = torch.rand(3, 1, 4, 4)
    order = torch.randperm(16)
    model = FakeModel(sample=lambda n, generator: x[:n], drawing_order=lambda: order)
    count = len(list(RowsFilm(3).frames(Scene(data_of(x, x), 1), model, 1)))
    assert count == len(calls) == 17
    for done, (shown, *_) in enumerate(calls):
        same = (shown[:, 0] == x[:, 0]).all(0).flatten()
        assert set(same.nonzero().flatten().tolist()) == set(order[:done].tolist())


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_film_keeps_its_frames_and_their_times_and_is_part_of_an_evaluation(kind, tmp_path):
    frames = [np.full((20 + i, 30, 3), 255 - 60 * i, np.uint8) for i in range(4)]
    (tmp_path / "run" / "figures").mkdir(parents=True)
    file = tmp_path / "run" / "figures" / f"film.{kind}"
    write_film(frames, file, 5)
    with Image.open(file) as film:
        assert (film.n_frames, film.size) == (4, (30, 23))
        for i in range(4):
            film.seek(i)
            film.load()
            assert film.info["duration"] == (200 if i < 3 else 2500)
            assert abs(np.asarray(film.convert("RGB"))[5, 5].astype(int) - (255 - 60 * i)).max() <= 3
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    (name,) = copy_film(tmp_path / "run", tmp_path, "figures").items()
    assert name == ("film", f"figures/film.{kind}")
    shown = image_of((tmp_path / name[1]).read_bytes(), "a film")
    assert shown.uri.startswith(f"data:image/{kind};base64,")
    assert (shown.width, shown.height) == (30, 23)
