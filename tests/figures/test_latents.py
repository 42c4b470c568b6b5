"""Maps of codes, and the plane of codes decoded."""

import numpy as np
import pytest
import torch
from built import LatentManifold, LatentScatter
from figure_parts import FakeModel, flat, is_drawn, labelled, noted, points
from matplotlib.axes import Axes
from sklearn.decomposition import PCA

from pmodel.figures.figure import NotShown, Scene
from pmodel.figures.latents import plane_of
from pmodel.plots import codes
from pmodel.plots.grids import on_axes

X = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * torch.linspace(1, 0.2, 64).view(8, 8)
LABEL = torch.arange(60) % 3


def test_codes_of_any_length_are_projected_on_the_two_directions_in_which_they_vary_most(monkeypatch):
    calls = noted(monkeypatch, "plots.codes.code_map")
    LatentScatter(40).draw(labelled(X, LABEL, ("a", "b", "c")), flat(10))
    ((places, group, names, axes, title, images, _),) = calls
    pca = PCA(2).fit(X[:40].flatten(1)[:, :10].double().numpy())
    np.testing.assert_allclose(
        np.abs(places), np.abs(pca.transform(X[:40].flatten(1)[:, :10].double().numpy())), atol=1e-6
    )
    shares = [f"{share:.0%} of the variance" for share in pca.explained_variance_ratio_]
    of = "principal component of the code's 10 dimensions"
    assert axes == [f"first {of}, {shares[0]}", f"second {of}, {shares[1]}"]
    assert (names, group.tolist()) == (["a", "b", "c"], LABEL[:40].tolist())
    assert title == "codes of 40 validation examples after 3 epochs"
    assert images.shape == (40, 8, 8, 3)


def test_two_dimensions_are_drawn_as_they_are_and_one_as_a_histogram(monkeypatch):
    calls = noted(monkeypatch, "plots.codes.code_map", "plots.plots.grouped")
    for D in (2, 1):
        LatentScatter(60).draw(labelled(X, LABEL), flat(D))
    (places, _, _, axes, *_), (groups, *_) = calls
    np.testing.assert_allclose(places, X.flatten(1)[:, :2].numpy())
    assert axes == ["z₁", "z₂"]
    assert {name: len(part) for name, part in groups.items()} == {"0": 20, "1": 20, "2": 20}


@pytest.mark.parametrize("count", [4, 60])
def test_neighbours_stay_neighbours_in_the_other_projection(count):
    apart = X[:count].flatten(1).double().numpy() + 50 * (LABEL[:count].numpy() == 0)[:, None]
    places, axes, back = plane_of(apart, "tsne")
    assert back is None
    assert places.shape == (count, 2)
    assert "64 dimensions" in axes[0]
    if count == 60:
        own, others = (places[(LABEL == 0).numpy() == of].mean(0) for of in (True, False))
        spread = places[(LABEL == 0).numpy()].std(0).max()
        assert np.linalg.norm(own - others) > 2 * spread


def test_codes_that_say_nothing_are_not_drawn():
    for model, scene, reason in (
        (FakeModel(encode=lambda x: torch.ones(len(x), 4)), labelled(X, LABEL), "all examples have the same code"),
        (flat(4), labelled(X[:2], LABEL[:2]), "there are fewer than 3 validation examples"),
        (FakeModel(encode=len, assign=len), Scene(points(2), 1), "see clusters"),
    ):
        with pytest.raises(NotShown, match=reason):
            LatentScatter(60).draw(scene, model)


def test_examples_on_the_map_stand_at_their_codes_and_do_not_touch(monkeypatch):
    put = []
    monkeypatch.setattr(codes, "_put", lambda axes, image, place, colour: put.append((axes, image, place)))
    rng = np.random.default_rng(0)
    places, images = rng.normal(size=(500, 2)), rng.integers(0, 255, (500, 8, 8, 3), np.uint8)
    codes.code_map(places, np.zeros(500, int), ["a"], ["x", "y"], "title", images, 64)
    assert 20 < len(put) <= 64
    for _, image, place in put:
        (i,) = np.flatnonzero((places == place).all(1))
        assert (images[i] == image).all()
    pixels = np.stack([axes.transData.transform(place) for axes, _, place in put])
    apart = np.abs(pixels[:, None] - pixels).max(2)[~np.eye(len(put), dtype=bool)]
    assert apart.min() >= codes.FRAMED


def test_examples_on_the_map_hide_no_name(monkeypatch):
    put = []
    monkeypatch.setattr(codes, "_put", lambda axes, image, place, colour: put.append((axes, place)))
    places = np.random.default_rng(0).normal(size=(500, 2))
    images = np.zeros((500, 8, 8, 3), np.uint8)
    codes.code_map(places, np.arange(500) % 10, [str(k) for k in range(10)], ["x", "y"], "title", images, 64)
    (axes, _), *_ = put
    names = np.array([text.get_position() for text in axes.texts])
    assert len(names) == 10
    pixels = axes.transData.transform(names)[:, None] - axes.transData.transform([place for _, place in put])
    assert np.abs(pixels).max(2).min() > 0.6 * codes.FRAMED


@pytest.mark.parametrize("C", [1, 3])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6])
def test_maps_are_drawn_with_and_without_examples(C, scale):
    rng = np.random.default_rng(0)
    places = rng.normal(size=(30, 2)) * (1, scale)
    images = np.repeat(rng.integers(0, 255, (30, 40, 30, C), np.uint8), 3 // C, 3)
    for shown in (images, None):
        drawn = codes.code_map(places, np.arange(30) % 12, [f"class {k}" for k in range(12)], ["x", "y"], "t", shown, 9)
        assert is_drawn(drawn)


def test_each_class_has_its_name_where_its_codes_are(monkeypatch):
    said = []
    text = Axes.text
    monkeypatch.setattr(
        Axes, "text", lambda axes, x, y, s, **rest: said.append((x, y, s)) or text(axes, x, y, s, **rest)
    )
    places = np.array([[0.0, 0], [1, 0], [5, 5], [6, 5], [7, 8]])
    codes.code_map(places, np.array([0, 0, 1, 1, 1]), ["$a", "b"], ["x", "y"], "title")
    assert said == [(0.5, 0, r"\$a"), (6, 5, "b")]


# The plane of codes


def test_the_axes_of_the_plane_have_the_values_at_which_it_is_decoded(monkeypatch):
    calls = noted(monkeypatch, "figures.latents.on_axes")
    asked = []
    decode = {"decode": lambda z: asked.append(z) or torch.zeros(len(z), 1, 8, 8)}
    model = FakeModel(sample_latents=len, latent_dim=2, **decode)
    for n in (2, 9):
        LatentManifold(n).draw(Scene(None, 1), model)
    for (n, (_, columns, rows, names)), z in zip(zip((2, 9), calls, strict=True), asked, strict=True):
        z = z.view(n, n, 2)
        assert len(columns) == len(rows) == n
        assert names == ("z₁", "z₂")
        for i in range(n):
            # Columns are z1 from left to right, rows z2 from top to bottom.
            for text, value in ((columns[i], z[0, i, 0]), (rows[i], z[i, 0, 1])):
                assert text in ("", f"{value:.2f}".replace("-", "−"))
        for i in (0, n - 1):
            assert columns[i]
            assert rows[i]


def test_axes_leave_the_grid_as_it_is():
    grid = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    page = on_axes(grid, ["−1", "", "1"], ["2", "−2"], ("z₁", "z₂"))
    assert any((page[:60, left : left + 80] == grid).all() for left in range(page.shape[1] - 79))
    assert (page[60:] < 128).any()
