"""Few labels: balanced, seeded, and of the training split alone."""

import itertools
import json

import pytest
import torch
from support import source

from pmodel.data.labels import balanced_subset


def rows(x: torch.Tensor) -> set[tuple[float, ...]]:
    return set(map(tuple, x.flatten(1).tolist()))


@pytest.mark.parametrize("count", [10, 25, 100, 999])
def test_counts_per_class_differ_by_at_most_one(digits, count):
    label = digits(num_labels=count, label_seed=3).examples("train", 2000).label
    counts = label.bincount(minlength=10)
    assert counts.sum() == count
    assert counts.max() - counts.min() <= 1


def test_labelled_examples_are_training_examples_with_their_own_labels(digits):
    few, whole = (digits(num_labels=n).examples("train", 2000) for n in (50, None))
    label_of = {tuple(x): k for x, k in zip(whole.x.flatten(1).tolist(), whole.label.tolist(), strict=True)}
    assert [label_of[tuple(x)] for x in few.x.flatten(1).tolist()] == few.label.tolist()


def test_which_class_has_one_more_is_drawn(digits):
    def larger(label_seed: int) -> int:
        return digits(num_labels=11, label_seed=label_seed).examples("train", 11).label.bincount().argmax().item()

    assert len({larger(label_seed) for label_seed in range(5)}) > 1


@pytest.mark.parametrize("split", ["validation", "test"])
def test_validation_and_test_keep_all_their_examples(digits, split):
    few, whole = (digits(num_labels=n).examples(split, 2000) for n in (50, None))
    assert torch.equal(few.x, whole.x)
    assert torch.equal(few.label, whole.label)


def test_draw_follows_from_the_label_seed_and_the_split_seed_alone(digits):
    def drawn(**settings) -> set:
        return rows(digits(num_labels=50, **settings).examples("train", 50).x)

    assert drawn(label_seed=1) == drawn(label_seed=1, seed=8, batch_size=7, eval_batch_size=9, num_classes=10)
    assert drawn(label_seed=1) != drawn(label_seed=2)
    assert drawn(label_seed=1) != drawn(label_seed=1, split_seed=1)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    drawn(label_seed=1)
    assert torch.equal(state, torch.get_rng_state())


def test_fewer_labels_are_a_part_of_more(digits):
    nested = [rows(digits(num_labels=n, label_seed=4).examples("train", 2000).x) for n in (13, 50, 51, 300)]
    assert all(a < b for a, b in itertools.pairwise(nested))


def test_labels_are_drawn_of_what_the_limit_keeps(digits):
    few = digits(limit=100, num_labels=20).examples("train", 2000)
    assert len(few.x) == 20
    assert rows(few.x) <= rows(digits(limit=100).examples("train", 2000).x)


@pytest.mark.parametrize("binarize", ["static", "threshold"])
def test_an_image_is_binarized_the_same_however_few_have_labels(digits, binarize):
    few, whole = (digits(num_labels=n, binarize=binarize).examples("train", 2000) for n in (50, None))
    assert rows(few.x) <= rows(whole.x)


def test_protocol_names_the_labels(digits):
    data = digits(num_labels=50, label_seed=3)
    data.setup("fit")
    protocol = json.loads(json.dumps(data.protocol()))
    assert protocol["num_labels"] == 50
    assert protocol["label_seed"] == 3
    assert protocol["split_sizes"]["train"] == 50
    assert "label_seed" not in digits().protocol()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_labels": 0}, "data.num_labels=0: expected a whole number, at least 1, or null"),
        ({"num_labels": 9}, "data.num_labels=9: expected at least 10, one of each class"),
        ({"num_labels": 1297}, "data.num_labels=1297: class 0 has 124 training examples, expected at least 130"),
        ({"num_classes": 7}, "data.num_classes=7: expected 10, or null, with data=digits"),
    ],
)
def test_impossible_numbers_are_refused(digits, refusal, settings, message):
    assert refusal(lambda: digits(**settings).setup("fit")) == message


def test_examples_without_a_label_are_never_drawn():
    label = torch.tensor([-1, 0, 1, -1, 0, 1, -1])
    assert balanced_subset(label, 2, 4, 0, 0).tolist() == [1, 2, 4, 5]
    for none in (None, 2):
        with pytest.raises(ValueError, match="no labels"):
            balanced_subset(torch.full((5,), -1), none, 2, 0, 0)


def test_folders_without_classes_have_no_labels_to_keep(tmp_path, refusal):
    from PIL import Image

    for i in range(10):
        Image.new("RGB", (4, 3), (i, i, i)).save(tmp_path / f"{i}.png")
    for setting, what in {
        "num_labels": "since the training examples have no labels",
        "num_classes": "since it has no labels, with data=image_folder",
    }.items():
        data = source("image_folder", path=tmp_path, shape=[3, 3, 4], **{setting: 5})
        assert refusal(lambda data=data: data.setup("fit")) == f"data.{setting}=5: expected null, {what}"


def test_examples_drawn_by_a_seed_differ_from_the_first_and_repeat(digits):
    data = digits()
    whole = data.examples("train", 2000)
    drawn, again, other = (data.examples("train", 100, seed=s) for s in (3, 3, 4))
    assert torch.equal(drawn.x, again.x)
    assert torch.equal(drawn.label, again.label)
    assert not torch.equal(drawn.x, other.x)
    assert not torch.equal(drawn.x, whole.x[:100])
    assert len(rows(drawn.x)) == 100
    assert rows(drawn.x) <= rows(whole.x)
    assert sorted(data.examples("train", 5000, seed=3).label.tolist()) == sorted(whole.label.tolist())
