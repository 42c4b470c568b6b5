"""What is fixed, what is drawn per step, and which settings contradict each other."""

import itertools
import json

import pytest
import torch
from support import build

from pmodel.data.base import SPLITS
from pmodel.data.batch import RawBatch


def seen(data, batches) -> tuple[torch.Tensor, torch.Tensor]:
    """All examples as the model sees them, and their labels."""
    batches = [data.on_after_batch_transfer(batch) for batch in batches]
    return torch.cat([batch.x for batch in batches]), torch.cat([batch.label for batch in batches])


def by_label(x, label) -> torch.Tensor:
    return x[label.argsort()]


def test_model_sees_float_levels_between_zero_and_one(digits):
    x, label = seen(digits(), digits().train_dataloader())
    assert x.dtype == torch.float32
    assert label.dtype == torch.int64
    assert x.shape[1:] == (1, 8, 8)
    assert set((x * 16).unique().tolist()) == set(range(17))


@pytest.mark.parametrize("binarize", ["static", "dynamic", "threshold"])
def test_binarized_data_have_two_levels_in_every_split(digits, binarize):
    data = digits(binarize=binarize, flip=True)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert seen(data, loader)[0].unique().tolist() == [0.0, 1.0]


def test_threshold_needs_no_seed(digits):
    grey, binary = digits().examples("test", 50).x, digits(binarize="threshold").examples("test", 50).x
    assert torch.equal(binary, (grey >= 0.5).float())


def test_static_binarization_is_the_same_in_every_epoch_and_run(numbered):
    static = {"binarize": "static", "num_levels": 2}
    data, other_run = numbered(**static), numbered(**static, seed=9)
    loader = data.train_dataloader()
    first, second = (by_label(*seen(data, loader)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first, by_label(*seen(other_run, other_run.train_dataloader())))
    other_draw = numbered(**static, split_seed=9)
    assert not torch.equal(first, by_label(*seen(other_draw, other_draw.train_dataloader())))


def test_dynamic_binarization_differs_between_epochs_and_averages_to_the_intensity(numbered):
    data = numbered(binarize="dynamic", num_levels=2)
    loader = data.train_dataloader()
    epochs = torch.stack([by_label(*seen(data, loader)) for _ in range(1000)])
    assert not torch.equal(epochs[0], epochs[1])
    expected = torch.tensor([[10 * n, 10 * n + 5] for n in range(22)]).reshape(22, 1, 1, 2) / 255
    assert (epochs.mean(0) - expected).abs().max() < 5 * 0.5 / 1000**0.5


no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, no_gpu])])
@pytest.mark.parametrize("settings", [{"binarize": "dynamic"}, {"dequantize": True}, {"flip": True}])
def test_draws_of_a_training_batch_follow_from_its_key_alone(digits, settings, device):
    data = digits(**settings)
    raw, other = (
        data.transfer_batch_to_device(raw, torch.device(device), 0) for raw in list(data.train_dataloader())[:2]
    )
    torch.rand(3)
    again = data.on_after_batch_transfer(raw)
    assert again.x.device.type == device
    assert torch.equal(again.x, data.on_after_batch_transfer(raw).x)
    assert not torch.equal(again.x, data.on_after_batch_transfer(RawBatch(raw.x, raw.label, other.key)).x)


@pytest.mark.parametrize("settings", [{"binarize": "dynamic"}, {"binarize": "static"}, {"dequantize": True}])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_data_are_fixed_whatever_the_batch_size_the_seed_and_the_epoch(digits, settings, split):
    def evaluate(data):
        loader = data.val_dataloader() if split == "validation" else data.test_dataloader()
        first, second = seen(data, loader)[0], seen(data, loader)[0]
        assert torch.equal(first, second)
        return first

    expected = evaluate(digits(**settings))
    assert torch.equal(expected, evaluate(digits(**settings, eval_batch_size=7, seed=8, flip=True)))
    assert not torch.equal(expected, evaluate(digits(**settings, split_seed=8)))


@pytest.mark.parametrize("settings", [{"binarize": "static"}, {"binarize": "dynamic"}, {"dequantize": True}])
def test_no_split_has_the_order_or_the_draws_of_another(numbered, settings):
    data = numbered(num_levels=2 if "binarize" in settings else None, **settings)
    data.load = lambda split: (torch.full((50, 1, 1, 2), 128, dtype=torch.uint8), torch.arange(50))
    for part in ([data.examples(split, 50).x for split in SPLITS], [data.kept(split, 50) for split in SPLITS]):
        assert not any(torch.equal(a, b) for a, b in itertools.combinations(part, 2))
    drawn = [data.examples(split, 50, seed=3).label for split in SPLITS]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


def test_dequantized_splits_lie_in_the_bins_of_the_levels(digits):
    for split in SPLITS:
        level, x = digits().examples(split, 100).x * 16, digits(dequantize=True).examples(split, 100).x
        assert torch.equal((x * 17).floor(), level)
        assert len(x.unique()) > 1000


def test_flips_touch_training_only(numbered):
    plain, flipped = numbered(), numbered(flip=True)
    for loader in ("val_dataloader", "test_dataloader"):
        assert torch.equal(*(seen(data, getattr(data, loader)())[0] for data in (plain, flipped)))
    x, label = seen(flipped, flipped.train_dataloader())
    mirrored = (x[:, 0, 0, 0] > x[:, 0, 0, 1]).double()
    assert 0 < mirrored.mean() < 1
    assert torch.equal(by_label(x.sort(-1).values, label), by_label(*seen(plain, plain.train_dataloader())))


def test_flips_that_are_drawn_once_touch_training_only(numbered):
    flipped, plain = numbered(flip=True, redraw=False), numbered()
    for split in SPLITS:
        same = torch.equal(flipped.examples(split, 22).x, plain.examples(split, 22).x)
        assert same == (split != "train")


def test_examples_are_the_same_each_time_and_those_of_the_evaluation_loader(digits):
    data = digits(binarize="dynamic")
    first = next(iter(data.val_dataloader()))
    assert torch.equal(data.examples("validation", 9).x, data.on_after_batch_transfer(first).x[:9])
    assert torch.equal(data.examples("train", 9).x, digits(binarize="dynamic", seed=7).examples("train", 9).x)
    assert len(data.examples("test", 10**6).x) == 250


def test_limit_keeps_the_first_examples_of_every_split(digits):
    small, whole = digits(limit=30), digits()
    for split in SPLITS:
        kept, all_of_them = small.examples(split, 1000), whole.examples(split, 30)
        assert torch.equal(kept.x, all_of_them.x)
        assert torch.equal(kept.label, all_of_them.label)
    assert small.split_sizes == {"train": 30, "validation": 30, "test": 30}


@pytest.mark.parametrize(("setting", "count"), [(0.3, 7), (0.001, 1), (0, 0), (5, 5)])
def test_a_share_for_validation_is_rounded_to_the_nearest_number_and_to_one_at_least(numbered, setting, count):
    assert numbered(num_validation=setting).validation_count(22) == count


def test_test_split_is_read_only_when_asked_for(digits):
    data = digits()
    data.setup("fit")
    assert data.split_sizes == {"train": 1297, "validation": 250}
    data.setup("test")
    assert data.split_sizes == {"train": 1297, "validation": 250, "test": 250}


def test_images_stay_uint8_in_memory(digits):
    for binarize in ("none", "static", "dynamic", "threshold"):
        assert next(iter(digits(binarize=binarize).train_dataloader())).x.dtype == torch.uint8


@pytest.mark.parametrize("override", ["data.dequantize=true", "data.binarize=dynamic", "data.flip=true"])
def test_without_redraw_each_epoch_sees_the_same_examples_whatever_the_batches(override):
    def epochs(*overrides: str) -> list[torch.Tensor]:
        data = build("data=digits", "data.limit=50", override, *overrides)[1]
        loader = data.train_dataloader()
        found = []
        for _ in range(2):
            x = torch.cat([data.on_after_batch_transfer(batch).x for batch in loader]).flatten(1)
            found.append(x[torch.argsort(x @ torch.linspace(1, 2, x.shape[1]))])
        return found

    first, second = epochs("data.redraw=false", "data.batch_size=20")
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, epochs("data.redraw=false", "data.batch_size=50")[0])
    again, other = epochs("data.batch_size=20")
    assert not torch.equal(again, other)


def test_protocol_says_how_numbers_are_made_in_plain_values(digits):
    data = digits(binarize="static", limit=100)
    data.setup("test")
    assert json.loads(json.dumps(data.protocol())) == {
        "data": "digits",
        "shape": [1, 8, 8],
        "num_levels": 2,
        "binarize": "static",
        "dequantize": False,
        "redraw": True,
        "limit": 100,
        "split_sizes": {"test": 100},
        "split_seed": 0,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"binarize": "always"}, "binarize=always: expected one of none, static, dynamic, threshold"),
        (
            {"dequantize": True, "binarize": "static"},
            "dequantize=true: expected data.binarize=none with it, not static",
        ),
        (
            {"num_levels": 256},
            "num_levels=256: expected 17 with data=digits, data.binarize=none and data.dequantize=false",
        ),
        ({"batch_size": 0}, "batch_size=0: expected a whole number, at least 1"),
    ],
)
def test_wrong_settings_are_refused_when_the_data_are_built(digits, refusal, settings, message):
    assert refusal(lambda: digits(**settings)) == f"data.{message}"


def test_settings_that_do_not_fit_the_data_are_refused_when_they_are_read(digits, refusal):
    message = "data.shape=[1, 9, 9]: the examples of data=digits are [1, 8, 8]"
    assert refusal(lambda: digits(shape=[1, 9, 9]).setup("fit")) == message
    message = "data.num_validation=1547: expected less than the 1547 examples there are, or a share of them below 1"
    assert refusal(lambda: digits(num_validation=1547).setup("fit")) == message


def test_fewer_examples_than_devices_are_refused(digits, refusal):
    class FourDevices:
        global_rank, world_size, overfit_batches, limit_train_batches = 0, 4, 0, 1.0

    data = digits(limit=3, batch_size=2)
    data.trainer = FourDevices
    message = "data.batch_size=2: expected at least one example for each of 4 devices"
    assert refusal(data.train_dataloader) == message
    message = "data=digits: 3 validation examples, expected one for each of the devices, 4"
    assert refusal(data.val_dataloader) == message
