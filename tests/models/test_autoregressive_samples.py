"""Autoregressive models pixel by pixel: the numbers of whole forward passes, and samples that follow the model."""

from typing import Any

import pytest
import torch
from autoregressive_family import FAMILY, all_images, random_images, small
from plain_sampler import plain_complete, plain_sample
from scipy.stats import chisquare
from torch import Tensor


@pytest.mark.parametrize("told", ["nothing", "label", "map"])
@pytest.mark.parametrize("shape", [[1, 5, 4], [3, 3, 5]], ids=str)
@pytest.mark.parametrize("name", FAMILY)
def test_outputs_pixel_by_pixel_are_those_of_the_whole_image(name, shape, told):
    assert_equal_steps(small(name, shape, 3, None if told == "nothing" else 2), shape, told)


@pytest.mark.parametrize("told", ["nothing", "label", "map"])
@pytest.mark.parametrize(("size", "num_scales"), [((7, 5), 3), ((8, 8), 4), ((5, 6), 1)])
def test_outputs_pixel_by_pixel_over_other_scales_are_those_of_the_whole_image(size, num_scales, told):
    shape = [3, *size]
    settings = {"num_blocks": 2, "num_scales": num_scales}
    assert_equal_steps(small("pixelcnn_pp", shape, 3, None if told == "nothing" else 2, **settings), shape, told)


def assert_equal_steps(model: Any, shape: list[int], told: str) -> None:
    """Values that may not be seen yet are garbage until they are known; a pixel may be asked for again."""
    C, H, W = shape
    groups = 1 if model.network.whole_pixels else C
    torch.manual_seed(0)
    x = 2 * random_images(3, shape, 3).double() - 1
    E = model.condition_channels + model.hparams.get("condition_features", 0)
    condition = torch.randn(3, E, *((H, W) if told == "map" else (1, 1)), dtype=torch.float64) if E else None
    with torch.no_grad():
        whole = model.network(x, condition).unflatten(1, (groups, -1))
        steps = model.network.steps(3, W, condition)
        for i in range(H):
            steps.start_row(i)
            for j in range(W):
                steps.inputs[j].copy_(10 * torch.randn(3, C))
                for g in [*range(groups), groups - 1]:
                    found = steps.pixel(j).unflatten(1, (groups, -1))[:, g]
                    torch.testing.assert_close(found, whole[:, g, :, i, j])
                    steps.inputs[j][:, g] = x[:, g, i, j]
                steps.inputs[j].copy_(x[:, :, i, j])


@pytest.mark.parametrize("num_classes", [None, 2])
@pytest.mark.parametrize(
    ("num_channels", "num_levels"), [(1, 2), (1, 17), (1, 256), (3, 2), (3, 17), (3, 256)], ids=str
)
@pytest.mark.parametrize("name", FAMILY)
def test_samples_are_those_of_a_forward_pass_per_subpixel(name, num_channels, num_levels, num_classes):
    model = small(name, [num_channels, 4, 3], num_levels, num_classes)
    model.sample_batch = 2
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    fast = model.sample(5, generator=generators[0])
    torch.testing.assert_close(fast, plain_sample(model, 5, generator=generators[1]))
    assert len(fast.unique(dim=0)) > 1
    if num_classes is not None:
        label = torch.arange(5) % num_classes
        fast = model.sample_classes(label, generator=generators[0])
        plain = plain_sample(model, 5, generator=generators[1], label=label)
        torch.testing.assert_close(fast, plain)
    assert torch.equal(*(generator.get_state() for generator in generators))


@pytest.mark.parametrize("kind", ["upper half", "pixels here and there", "single channels", "none", "all"])
@pytest.mark.parametrize(("num_channels", "num_levels", "num_classes"), [(1, 17, None), (3, 2, None), (3, 3, 2)])
@pytest.mark.parametrize("name", FAMILY)
def test_completions_are_those_of_a_forward_pass_per_subpixel(name, num_channels, num_levels, num_classes, kind):
    shape = [num_channels, 4, 3]
    model = small(name, shape, num_levels, num_classes)
    model.sample_batch = 3
    x = random_images(5, shape, num_levels)
    chance = torch.rand(5, *shape, generator=torch.Generator().manual_seed(2)) < 0.5
    known = {
        "upper half": (torch.arange(4) < 2)[:, None],
        "pixels here and there": chance[:1, :1],
        "single channels": chance,
        "none": torch.tensor(False),
        "all": torch.tensor(True),
    }[kind].expand_as(x)
    before = x.clone()
    completed = model.complete(x, known, generator=torch.Generator().manual_seed(4))
    assert torch.equal(x, before)
    assert torch.equal(completed[known], x[known])
    plain = plain_complete(model, x, known, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(completed, plain)
    # What stands where nothing is known has no influence, not even if it is no level or no number.
    for hidden in (7.0, torch.nan):
        start = torch.where(known, x, hidden)
        again = model.complete(start, known, generator=torch.Generator().manual_seed(4))
        assert torch.equal(again, completed)


def p_value(values: Tensor, levels: int, expected: Tensor) -> float:
    """How often counts as far off as those of values (N, D) come from probabilities in the order of `all_images`."""
    digits = (values * (levels - 1)).round().long()
    index = (digits * levels ** torch.arange(digits.shape[1]).flip(0)).sum(1)
    counts, expected = index.bincount(minlength=len(expected)), len(values) * expected
    assert not counts[expected == 0].any()
    # The rare ones together: the approximation needs a few of each.
    rare = expected < 10
    counts, expected = (torch.cat([t[~rare], t[rare].sum()[None]]).double() for t in (counts, expected))
    assert len(expected) > 4
    possible = expected > 0
    return chisquare(counts[possible], expected[possible] * counts.sum() / expected.sum()).pvalue


@pytest.mark.parametrize("num_classes", [None, 2])
@pytest.mark.parametrize(("shape", "levels"), [([1, 2, 2], 2), ([3, 1, 2], 2)], ids=str)
@pytest.mark.parametrize("name", FAMILY)
def test_frequencies_of_samples_and_of_completions_are_the_probabilities(name, shape, levels, num_classes):
    model, (_, H, W) = small(name, shape, levels, num_classes), shape
    model.sample_batch = 20_000
    everything = all_images(shape, levels)
    p = model.log_prob(everything).exp()
    assert p.max() > 1.5 * p.min()
    drawn = model.sample(20_000, generator=torch.Generator().manual_seed(7))
    assert p_value(drawn.flatten(1), levels, p) > 1e-3
    # The first of the pixels in any order is known.
    known = (torch.arange(H * W) == 0).view(H, W)
    x = torch.ones(20_000, *shape)
    drawn = model.complete(x, known, generator=torch.Generator().manual_seed(8))
    p = p * (everything == 1)[:, :, 0, 0].all(1)
    assert p_value(drawn.flatten(1), levels, p / p.sum()) > 1e-3


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["pixelrnn", "pixelrnn_multiscale"])
def test_among_scattered_pixels_the_label_follows_those_before_the_first_hidden_one(name, first):
    """By a sum over all images: Σ_y p(y | x_<f) Π p(x_i | x_<i, y) over the hidden pixels i, of which f is first."""
    model = small(name, [1, 2, 2], 3, 3)
    model.sample_batch = 20_000
    everything = all_images([1, 2, 2], 3)
    order = model.drawing_order()
    # Every second pixel is known, the first or the second of each two.
    known = torch.zeros(4, dtype=torch.bool)
    known[order[1 - first :: 2]] = True
    log_p = torch.stack([model.log_prob_per_pixel(everything, torch.full((81,), y)).flatten(1) for y in range(3)])
    before = order[:first]
    label = log_p[:, :, before].sum(2).softmax(0)
    given = (everything.flatten(1) == 1)[:, known].all(1)
    expected = (label * log_p[:, :, ~known].sum(2).exp()).sum(0) * given
    assert expected.sum().item() == pytest.approx(1)
    x = torch.ones(20_000, 1, 2, 2)
    generator = torch.Generator().manual_seed(8)
    drawn = model.complete(x, known.view(2, 2), generator=generator)
    assert p_value(drawn.flatten(1), 3, expected) > 1e-3
    # It is another distribution than that of the hidden pixels given all that is known.
    exact = model.log_prob(everything).exp() * given
    assert (expected - exact / exact.sum()).abs().sum() / 2 > 0.02


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("name", FAMILY)
def test_a_known_channel_is_seen_by_the_next_ones(name, channel):
    """Frequencies of the first pixel's channels, each given those before it; whole pixels are drawn without it."""
    model = small(name, [3, 1, 2], 3)
    model.sample_batch = 20_000
    p = model.log_prob(all_images([3, 1, 2], 3)).exp().view([3] * 6).sum((1, 3, 5))
    conditionals = [p.sum((1, 2), True), p.sum(2, True) / p.sum((1, 2), True), p / p.sum(2, True)]
    is_known = torch.eye(3, dtype=p.dtype)[2].view([3 if d == channel else 1 for d in range(3)])
    if model.network.whole_pixels:
        expected = p.sum(channel, True) * is_known
    else:
        conditionals[channel] = is_known
        expected = conditionals[0] * conditionals[1] * conditionals[2]
    known = (torch.arange(3) == channel)[:, None, None]
    x = torch.ones(20_000, 3, 1, 2)
    drawn = model.complete(x, known, generator=torch.Generator().manual_seed(8))
    assert p_value(drawn[:, :, 0, 0], 3, expected.flatten()) > 1e-3
