"""What is said and drawn of the data before a training, and models that are told labels where some have none."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from built import DataFigure
from conftest import Run
from figure_parts import noted
from PIL import Image
from support import array_data, source

from pmodel.data.image_folder import ImageFolder
from pmodel.figures.data import classes, sizes
from pmodel.figures.figure import Scene
from pmodel.plots.plots import grouped


def folder(tmp_path, *names: str) -> ImageFolder:
    """Images of 4×3 by these names, of levels 0, 1, …; after the reading of what training reads."""
    for i, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (i, i, i)).save(tmp_path / name)
    data = source("image_folder", path=tmp_path, shape=[3, 3, 4])
    data.setup("fit")
    return data


NAMES = [f"train/{k}/{i}.png" for k in "ab" for i in range(4)] + ["train/x.png", "val/a/0.png", "test/b/0.png"]


def test_sizes_and_classes_are_said_and_the_test_split_is_not_read(tmp_path):
    data = folder(tmp_path, *NAMES)
    assert sizes(data) == "9 training, 1 validation and 1 test examples"
    assert classes(data) == "2 classes: a (4), b (4), and 1 without a label"
    assert DataFigure().draw(Scene(data, 0)).shape[2] == 3
    assert set(data.split_sizes) == {"train", "validation"}
    rings = source("points", num_train=100, num_validation=20)
    rings.setup("fit")
    assert sizes(rings) == "100 training and 20 validation examples"


def test_many_classes_are_summed_up_and_none_is_said():
    labels = torch.arange(30).repeat(2)[:50]
    data = SimpleNamespace(labels=lambda split: labels, class_names=None)
    assert classes(data) == "30 classes: 1 to 2 examples each"
    data.labels = lambda split: torch.full((5,), -1)
    assert classes(data) == "no labels"


def test_each_class_has_a_row_of_its_own_images(tmp_path, monkeypatch):
    drawn = noted(monkeypatch, "figures.data.in_rows", "figures.data.side_by_side")
    monkeypatch.setattr(
        "pmodel.figures.data.image_grid", lambda x, columns: (255 * x[:, 0, 0, 0]).round() if len(x) > 1 else x
    )
    DataFigure().draw(Scene(folder(tmp_path, *NAMES), 0))
    (shown, _), ((title,),) = drawn
    assert title == "training examples as the model sees them, by class (9 training, 1 validation and 1 test examples)"
    assert {name: sorted(levels.flatten().tolist()[:4]) for name, levels in shown.items() if name != "no label: 1"} == {
        "a: 4": [0, 1, 2, 3],
        "b: 4": [4, 5, 6, 7],
    }
    assert list(shown)[-1] == "no label: 1"


def test_points_stand_in_the_users_units_under_the_names_of_the_columns(monkeypatch):
    data, drawn = array_data(torch.randn(50, 7)), noted(monkeypatch, "plots.plots.grouped")
    data.column_names = ["age", "income\n", *"abcde"]
    data.restore = lambda x: 100 * x
    data.setup("fit")
    DataFigure(num_points=40).draw(Scene(data, 0))
    ((groups, names, title),) = drawn
    assert names == ["age", "income�", "a", "b", "c"]
    assert np.allclose(groups["no label"], 100 * data.examples("train", 40).x[:, :5])
    assert title == (
        "50 training and 0 validation examples; 40 of those for training are drawn; the first 5 of 7 columns\nno labels"
    )


@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("origin", [0.0, 1e9])
def test_points_are_where_their_values_are(D, origin):
    low, high = np.zeros((30, D)) + origin, np.ones((3, D)) + origin
    image = grouped({"low": low, "high": high}, ["across", "up"][:D], "title").astype(int)[:, :-100]  # no legend
    redness = image[..., 0] - image[..., 2]  # the first group is blue, the second orange
    places = {"low": np.argwhere(redness < -60).mean(0), "high": np.argwhere(redness > 60).mean(0)}
    assert places["high"][1] > places["low"][1] + 300
    if D == 2:
        assert places["low"][0] > places["high"][0] + 300


def test_constant_columns_and_a_single_point_are_drawn():
    for columns in (1, 2, 4):
        assert grouped({"a": np.full((1, columns), 7.0)}, ["name"] * columns, "title").std() > 0


PARTLY = [f"{k}/{i}.png" for k in "ab" for i in range(12)] + [f"{i}.png" for i in range(12)]


@pytest.mark.parametrize("model", ["pixelcnn", "gan"])
def test_a_model_that_is_told_labels_says_how_many_are_missing(train: Run, tmp_path, model):
    folder(tmp_path / "images", *PARTLY)
    data = ["data=image_folder", "data.path=images", "data.shape=[3,8,8]", "data.num_classes=2"]
    outcome = train(f"model={model}", "model.class_conditional=true", *data, "callbacks=minimal", "logger=none")
    assert outcome.code == 2
    assert re.fullmatch(
        r"error: model.class_conditional=true: expected a label of each example, and 2\d of 32 for training and"
        " validation have one: label the others, or take them out",
        outcome.err.strip().splitlines()[-1],
    )
    assert not (tmp_path / "logs").exists()


def test_a_run_says_what_it_was_given(train: Run, tmp_path):
    folder(tmp_path / "images", *PARTLY)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    typed = ["data=image_folder", "data.path=images", "data.shape=[3,8,8]", "model=pca", "model.num_components=2"]
    outcome = train(*typed, "callbacks=minimal", "logger=none")
    assert outcome.code == 0, outcome.err
    lines = [line for line in outcome.out.splitlines() if line.startswith("data ")]
    assert lines[0].startswith("data      28 training, 4 validation and 4 test examples; 2 classes: a (")
    assert lines[1:] == [
        "data      files left out: 1, such as .txt (1)",
        "data      32 of 32 images: cut centrally and resized to 8×8",
    ]
