"""What a page's reader moves: each tile is what the model makes of the very code, mask or epoch that belongs to it."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn as nn
from built import Completions, FitOverTime, KMeans, LatentScatter, SampleGrid, SamplesOverTime, Traversals
from figure_parts import FakeModel, FakeTrainer, data_of, flat, labelled, points
from support import fit

from pmodel.callbacks.figures import Figures
from pmodel.figures import latents, traversals
from pmodel.figures.completions import ERASED_IMAGES, ERASED_WAYS
from pmodel.figures.figure import NotShown, Scene
from pmodel.figures.images import fixed_generator
from pmodel.plots.grids import image_grid, sheet, to_uint8

X = torch.rand(60, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABEL = torch.arange(60) % 3
# Of a fixed decoder from codes to 6 × 6 images, in [0, 1].
MIXING = torch.randn(5, 36, generator=torch.Generator().manual_seed(1))


def decode(z: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(z.float() @ MIXING[: z.shape[1]]).view(-1, 1, 6, 6)


def scene_of(x: torch.Tensor) -> Scene:
    return Scene(data_of(x, x[: len(x) // 2], num_levels=2), 3)


@pytest.mark.parametrize("D", [1, 2, 5])
def test_each_place_of_the_sliders_is_what_is_decoded_there(D):
    """All other latents stay as they are in the code of the first validation example."""
    x = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    model = FakeModel(encode=lambda x: x.flatten(1)[:, :D], decode=decode)
    widget = Traversals(10, 5).widget(scene_of(x), model)
    moved = widget.values["latents"]
    assert len(moved) == min(D, 4)
    chosen = [int(name.removeprefix("z")) - 1 for name, _ in moved]
    counts = [len(values) for _, values in moved]
    assert len(widget.tiles) == np.prod(counts)
    places = list(itertools.product(*map(range, counts)))
    for tile in range(0, len(places), 97):
        z = x[:1].flatten(1)[:, :D].clone()
        for k, place, (_, values) in zip(chosen, places[tile], moved, strict=True):
            z[0, k] = values[place]
        np.testing.assert_array_equal(widget.tiles[tile], to_uint8(decode(z))[0])
    for k, place, (_, values) in zip(chosen, widget.values["start"], moved, strict=True):
        assert abs(np.array(values) - x[0].flatten()[k].item()).argmin() == place
    if D == 5:
        change = [MIXING[k].square().sum() for k in range(5)]
        assert min(range(5), key=lambda k: change[k]) not in chosen
        assert "Of 5, these change the image most" in widget.words


def test_the_sliders_of_a_model_that_can_not_encode_begin_at_a_draw_from_its_prior():
    model = FakeModel(decode=decode, sample_latents=lambda n, *, generator=None: torch.randn(n, 3, generator=generator))
    model.latent_dim = 3
    widget = Traversals(10, 5).widget(scene_of(X), model)
    z = torch.randn(2000, 3, generator=fixed_generator(torch.device("cpu")))
    ends = {name: (values[0], values[-1]) for name, values in widget.values["latents"]}
    for k in range(3):
        assert ends[f"z{k + 1}"] == pytest.approx(np.quantile(z[:, k].double(), [0.01, 0.99]), abs=1e-5)


def test_the_images_of_all_places_have_no_more_pixels_than_they_may(monkeypatch):
    monkeypatch.setattr(traversals, "MOST_PIXELS", 36 * 100)
    model = FakeModel(encode=lambda x: x.flatten(1)[:, :5], decode=decode)
    widget = Traversals(10, 5).widget(scene_of(torch.rand(40, 1, 6, 6)), model)
    # Rather two sliders with ten values, of which nine are enough, than four with three.
    assert [len(values) for _, values in widget.values["latents"]] == [9, 9]


def test_large_images_are_shrunk():
    x = torch.rand(30, 3, 300, 200)
    model = flat(2, decode=lambda z: torch.rand(len(z), 3, 300, 200))
    widget = LatentScatter(30).widget(labelled(x, torch.arange(30) % 3), model)
    assert widget.tiles.shape == (30 + widget.values["lattice"] ** 2, 75, 50, 3)
    assert widget.values["lattice"] > 9
    np.testing.assert_allclose(widget.tiles[0] / 255, nn.functional.avg_pool2d(x[0], 4).permute(1, 2, 0), atol=3e-3)


def test_codes_that_hardly_differ_in_one_direction_have_a_box_with_a_width():
    z = X.flatten(1)[:, :2] * torch.tensor([1.0, 1e-7]) + 5
    widget = LatentScatter(60).widget(labelled(X, LABEL), FakeModel(encode=lambda x: z[: len(x)]))
    left, right, bottom, top = widget.values["box"]
    assert top - bottom > 1e-4 * (right - left) > 0
    small = FakeModel(encode=lambda x: 1e-6 * X.flatten(1)[: len(x), :2])
    places = LatentScatter(60).widget(labelled(X, LABEL), small).values["points"]
    assert len({tuple(place) for place in places}) == 60


def test_each_code_has_its_example_and_its_class():
    widget = LatentScatter(60).widget(labelled(X, LABEL, ("a", "b", "c")), flat(2, decode=decode))
    values = widget.values
    left, right, bottom, top = values["box"]
    places = np.array(values["points"]) * (right - left, top - bottom) + (left, bottom)
    np.testing.assert_allclose(places, X.flatten(1)[:, :2], atol=1e-4)
    np.testing.assert_array_equal(widget.tiles[:60], to_uint8(X))
    assert (values["groups"], values["names"]) == (LABEL.tolist(), ["a", "b", "c"])
    assert len(set(values["colors"])) == 3
    assert [len(part) for part in (values["points"], values["groups"], values["axes"])] == [60, 60, 2]


def test_a_cell_of_the_plane_has_what_is_decoded_at_its_middle():
    widget = LatentScatter(60).widget(labelled(X, LABEL), flat(2, decode=decode))
    left, right, bottom, top = widget.values["box"]
    codes = np.array(widget.values["points"])
    assert codes.min() > 0
    assert codes.max() < 1
    n = widget.values["lattice"]
    assert (n, len(widget.tiles)) == (25, 60 + 25 * 25)
    for row, column in ((0, 0), (0, n - 1), (3, 17), (n - 1, 0)):
        z = (left + (column + 0.5) / n * (right - left), top - (row + 0.5) / n * (top - bottom))
        np.testing.assert_array_equal(widget.tiles[60 + row * n + column], to_uint8(decode(torch.tensor([z])))[0])


def test_codes_of_more_dimensions_are_decoded_from_the_plane_of_their_two_first_components():
    """Codes that all lie in one plane are decoded from it as they are."""
    spanned = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    z = X.flatten(1)[:, :2] @ spanned + 1
    found = []
    model = FakeModel(encode=lambda x: z[: len(x)], decode=lambda z: found.append(z) or decode(z))
    widget = LatentScatter(60).widget(labelled(X, LABEL), model)
    lattice = torch.cat(found)
    n, (left, right, bottom, top) = widget.values["lattice"], widget.values["box"]
    nearest = torch.linalg.lstsq(spanned.T, (lattice - 1).T).solution.T @ spanned
    torch.testing.assert_close(nearest, lattice - 1, rtol=0, atol=1e-4)
    # Distances in the plane are those of the codes.
    assert (lattice[0] - lattice[n - 1]).norm() == pytest.approx((right - left) * (n - 1) / n, rel=1e-3)
    assert (lattice[0] - lattice[-n]).norm() == pytest.approx((top - bottom) * (n - 1) / n, rel=1e-3)
    for (u, v), code in zip(widget.values["points"], z, strict=True):
        row, column = int((1 - v) * n), int(u * n)
        assert (lattice[row * n + column] - code).norm() <= 0.51 * np.hypot(right - left, top - bottom) / n


def test_where_there_is_no_way_back_from_the_plane_codes_have_their_examples_alone(monkeypatch):
    for scatter, answers in (
        (LatentScatter(60, projection="tsne"), flat(5, decode=decode)),
        (LatentScatter(60), flat(5)),
    ):
        widget = scatter.widget(labelled(X, LABEL), answers)
        assert (widget.values["lattice"], len(widget.tiles)) == (0, 60)
        assert "Drag" not in widget.words
    monkeypatch.setattr(latents, "MOST_PIXELS", 36 * 10)
    assert len(LatentScatter(60).widget(labelled(X, LABEL), flat(5)).tiles) == 10


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_each_completion_keeps_the_quarters_that_are_not_erased(size):
    H, W = size
    x = torch.rand(9, 1, H, W, generator=torch.Generator().manual_seed(0))
    draws = []

    def complete(x, known, *, generator):
        draws.append(torch.rand(x.shape, generator=generator))
        return torch.where(known, x, draws[-1])

    widget = Completions(8, 6).widget(Scene(data_of(x, x), 3), FakeModel(complete=complete))
    M, ways = widget.values["images"], widget.values["ways"]
    assert (M, ways) == (ERASED_IMAGES, ERASED_WAYS)
    originals, drawn = to_uint8(x[:M]), iter(to_uint8(draws[0]))
    np.testing.assert_array_equal(widget.tiles[:M], originals)
    for m in range(M):
        for s in range(1, 16):
            for w in range(ways):
                tile, new = widget.tiles[M + (m * 15 + s - 1) * ways + w], next(drawn)
                for k in range(4):
                    rows = slice(0, H // 2) if k < 2 else slice(H // 2, H)
                    columns = slice(0, W // 2) if k % 2 == 0 else slice(W // 2, W)
                    expected = new if s & 1 << k else originals[m]
                    np.testing.assert_array_equal(tile[rows, columns], expected[rows, columns])


def test_each_epoch_has_what_was_drawn_after_it():
    drawn = iter(torch.rand(9, 12, 1, 6, 6, generator=torch.Generator().manual_seed(0)))
    made = []

    def sample(n, *, generator):
        made.append(next(drawn)[:n])
        return made[-1]

    figure, x = SamplesOverTime(12, 12), torch.rand(9, 1, 6, 6)
    model, data = FakeModel(sample=sample), data_of(x, x)
    for epoch in (1, 2, 3):
        figure.note(FakeTrainer(data, model, epoch))
    widget = figure.widget(Scene(data, 4), model)
    assert widget.values == {"labels": ["epoch 1", "epoch 2", "epoch 3", "epoch 4"], "start": 3}
    for tile, of_epoch in zip(widget.tiles, made, strict=True):
        whole = (of_epoch * 255).round() / 255
        np.testing.assert_allclose(tile.astype(int), image_grid(whole, 6), atol=1)


def test_a_run_that_kept_more_or_fewer_is_shown_as_many_of_each_epoch_and_starts_at_its_own(tmp_path):
    x = torch.rand(20, 1, 6, 6)
    model, data = FakeModel(sample=lambda n, *, generator: x[:n]), data_of(x, x)
    for kept, drawn in ((6, 12), (12, 6)):
        earlier, figure = SamplesOverTime(kept, 12), SamplesOverTime(drawn, 12)
        for epoch in (1, 2, 3):
            earlier.note(FakeTrainer(data, model, epoch))
        figure.state = earlier.state
        widget = figure.widget(Scene(data, 2), model)
        assert widget.values == {"labels": ["epoch 1", "epoch 2, this model", "epoch 3"], "start": 1}
        np.testing.assert_allclose(widget.tiles[0].astype(int), image_grid(x[:6], 6), atol=1)
        assert figure.draw(Scene(data, 2), model).ndim == 3


def test_the_epochs_of_points_are_panels_of_one_size(tmp_path):
    data, model = points(2, name="moons", num_train=200), KMeans([2], 6, "random", num_starts=1)
    node = {"_target_": "pmodel.figures.fit_over_time.FitOverTime", "num_points": 150, "num_panels": 4}
    figures = Figures(str(tmp_path / "figures"), {"fit_over_time": node}, 100)
    fit(model, data, max_epochs=4, callbacks=[figures])
    (figure,) = figures.figures
    widget = figure.widget(Scene(data, 4), model)
    assert widget.values["labels"] == ["start", "epoch 1", "epoch 2", "epoch 4"]
    for count in (40, 190):
        other = FitOverTime(count, 4)
        other.state = figure.state
        assert other.draw(Scene(data, 4), model).ndim == other.widget(Scene(data, 4), model).tiles.ndim - 1
    assert len(widget.tiles) == 4
    assert all((widget.tiles[0] != tile).any() for tile in widget.tiles[1:])


@pytest.mark.parametrize(
    ("order", "words"), [([0, 1, 2, 3], "row by row from the top"), ([0, 2, 1, 3], "a coarse image first")]
)
def test_in_which_order_pixels_are_drawn_is_said(order, words):
    x = torch.rand(4, 1, 2, 2)
    answers = {"complete": lambda x, known, *, generator: x, "log_prob_per_pixel": lambda x: x}
    model = FakeModel(drawing_order=lambda: torch.tensor(order), **answers)
    assert f"pixel by pixel, {words}" in Completions(8, 6).widget(Scene(data_of(x, x), 3), model).words


@pytest.mark.parametrize(
    ("figure", "model", "reason"),
    [
        (SampleGrid(4), FakeModel(), "nothing to move"),
        (LatentScatter(60), flat(1), "1 dimension"),
        (LatentScatter(60), FakeModel(), "the model has no encode"),
        (LatentScatter(60), FakeModel(encode=lambda x: x.flatten(1) / 0 * 0), "not finite"),
        (Traversals(3, 3), FakeModel(encode=lambda x: x.flatten(1) / 0 * 0, decode=decode), "not finite"),
        (Traversals(3, 3), FakeModel(), "the model has no decode"),
        (Completions(3, 3), FakeModel(), "the model has no complete"),
        (SamplesOverTime(3, 3), FakeModel(), "the model has no sample"),
        (FitOverTime(3, 3), FakeModel(), "the model has no assign"),
    ],
)
def test_what_can_not_be_moved_says_why(figure, model, reason):
    with pytest.raises(NotShown, match=reason):
        figure.widget(labelled(X, LABEL), model)


def test_a_sheet_has_its_tiles_row_by_row():
    tiles = np.arange(5 * 2 * 3 * 3, dtype=np.uint8).reshape(5, 2, 3, 3)
    page = sheet(tiles, 2)
    assert page.shape == (6, 6, 3)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, 2)
        np.testing.assert_array_equal(page[2 * row : 2 * row + 2, 3 * column : 3 * column + 3], tile)
