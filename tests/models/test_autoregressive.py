"""What all autoregressive models promise: they don't look ahead, their probabilities are exact, and they learn."""

import math
from itertools import product
from typing import Any

import pytest
import reach
import torch
from autoregressive_family import FAMILY, MODELS, all_images, defaults, random_images, randomized, small
from hydra.utils import get_class
from support import config
from torch import Tensor, nn

from pmodel.data.batch import Batch
from pmodel.instantiate import instantiate
from pmodel.models.autoregressive import AutoregressiveModule


def test_every_autoregressive_model_is_tested_here():
    assert {name for name in MODELS if issubclass(get_class(defaults(name)["_target_"]), AutoregressiveModule)} == set(
        FAMILY
    )


# What each output depends on


def one_number_per_subpixel(model: Any, x: Tensor, label: Tensor | None, order: list[reach.SubPixel]) -> Tensor:
    """A combination of the parameters of each sub-pixel, (B, H·W·C) in this order."""
    C = model.num_channels
    # Where there are no masks for channels, all parameters of a pixel belong to all of its channels.
    parameters = model._parameters_of(x, label).unflatten(1, (1 if model.network.whole_pixels else C, -1))
    weights = torch.arange(1.0, 1 + parameters.shape[2], dtype=torch.float64)
    numbers = torch.einsum("bgphw,p->bghw", parameters, weights).expand(-1, C, -1, -1)
    return torch.stack([numbers[:, c, i, j] for i, j, c in order], dim=1)


def jacobian_support(model: Any, seed: int, order: list[reach.SubPixel]) -> Tensor:
    """Which derivatives of outputs by sub-pixels, both (H·W·C) in this order, are not zero at one random image."""
    x = torch.rand(1, *model.data_shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x.repeat(len(order), 1, 1, 1).requires_grad_()
    y = one_number_per_subpixel(model, x, None, order)
    (jacobian,) = torch.autograd.grad(y.diagonal().sum(), x)
    assert jacobian.isfinite().all()
    return torch.stack([jacobian[:, c, i, j] for i, j, c in order], dim=1) != 0


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("size", [(7, 5), (6, 6), (4, 7)], ids=str)
@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize("name", FAMILY)
def test_jacobian_is_zero_but_for_the_earlier_subpixels_that_the_architecture_reaches(name, num_channels, size, depth):
    shape = (num_channels, *size)
    setting = FAMILY[name].depth
    if setting is None and depth > 1:
        pytest.skip("it has one layer")
    model = small(name, list(shape), **({setting: depth} if setting else {}))
    assert_sees(model, FAMILY[name].order(shape), FAMILY[name].reach(shape, depth))


@pytest.mark.parametrize("num_channels", [1, 3])
def test_jacobian_of_other_scales_is_what_the_architecture_reaches_too(num_channels):
    shape = (num_channels, 7, 5)
    for num_scales in (1, 3):
        model = small("pixelcnn_pp", list(shape), num_scales=num_scales)
        assert_sees(model, reach.raster_order(shape), reach.pixelcnn_pp(shape, 1, num_scales))
    model = small("pixelrnn_multiscale", list(shape), factor=3)
    sees = reach.multiscale(shape, 1, first_kernel=3, factor=3)
    assert_sees(model, reach.multiscale_order(shape, 3), sees)


def assert_sees(model: Any, order: list[reach.SubPixel], sees: reach.Layer) -> None:
    """Holds the Jacobian, of sub-pixels in this order, against the oracle."""
    expected = torch.tensor([[pixel in sees[output] for pixel in order] for output in order])
    assert not expected.triu().any(), "the oracle itself sees the present or the future"
    # At one point a ReLU may cut a path: a derivative that is not zero somewhere.
    found = torch.zeros_like(expected)
    for seed in range(20):
        found |= jacobian_support(randomized(model, seed), seed, order)
        if found.equal(expected):
            break
    leaks, blind = (found & ~expected).nonzero().tolist(), (expected & ~found).nonzero().tolist()
    assert not leaks, [f"{order[a]} sees {order[b]}" for a, b in leaks[:3]]
    assert not blind, [f"{order[a]} does not see {order[b]}" for a, b in blind[:3]]


@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize("name", FAMILY)
def test_label_reaches_every_output(name, num_channels):
    """Also the first pixel's, which sees nothing else."""
    shape = (num_channels, 3, 2)
    model, order = small(name, list(shape), num_classes=2), FAMILY[name].order(shape)
    found = torch.zeros(len(order), dtype=torch.bool)
    for seed in range(20):
        x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed)).expand(2, -1, -1, -1)
        one, other = one_number_per_subpixel(randomized(model, seed), x, torch.arange(2), order)
        found |= one != other
    assert found.all()


@pytest.mark.parametrize("name", ["pixelcnn_gated", "pixelcnn_pp"])
def test_dropout_acts_in_training_alone(name):
    model, x = small(name, [1, 6, 6], dropout=0.5), random_images(1, [1, 6, 6], 2)
    assert torch.equal(model.log_prob(x), model.log_prob(x))
    model.train()
    assert not torch.equal(model.log_prob(x), model.log_prob(x))


# What the architectures reach, in words of geometry: rows and columns from a pixel, of its earlier ones

SHAPE = (1, 9, 11)


def seen_from(sees: reach.Layer, i: int, j: int) -> set[tuple[int, int]]:
    """(rows up, columns to the right) of all that the pixel sees."""
    return {(i - row, column - j) for row, column, _ in sees[i, j, 0]}


def earlier(i: int, j: int) -> set[tuple[int, int]]:
    """(rows up, columns to the right) of all pixels before this one."""
    _, _, W = SHAPE
    return {(up, right) for up in range(i + 1) for right in range(-j, W - j) if up > 0 or right < 0}


PIXELS = list(product(range(SHAPE[1]), range(SHAPE[2])))


@pytest.mark.parametrize("first_kernel", [3, 7])
def test_pixelcnn_however_deep_is_blind_to_the_right_of_a_diagonal(first_kernel):
    sees = reach.pixelcnn(SHAPE, 12, first_kernel)
    for i, j in PIXELS:
        blind = {(up, right) for up, right in earlier(i, j) if up and right > up - 1 + first_kernel // 2}
        assert seen_from(sees, i, j) == earlier(i, j) - blind


@pytest.mark.parametrize("depth", [1, 3])
def test_gated_pixelcnn_sees_a_full_rectangle(depth):
    sees, far = reach.gated_pixelcnn(SHAPE, depth, first_kernel=5), 2 + (depth - 1)
    for i, j in PIXELS:
        assert seen_from(sees, i, j) == {
            (up, right) for up, right in earlier(i, j) if up <= far + 1 and abs(right) <= far
        }


def test_row_lstm_sees_a_triangle_up_to_the_first_row():
    sees = reach.row_lstm(SHAPE, 1)
    for i, j in PIXELS:
        triangle = {(up, right) for up, right in earlier(i, j) if -(up + 4) <= right <= up + 2}
        assert seen_from(sees, i, j) == triangle


@pytest.mark.parametrize("depth", [1, 3])
def test_diagonal_bilstm_sees_every_earlier_pixel(depth):
    sees = reach.diagonal_lstm(SHAPE, depth)
    for i, j in PIXELS:
        assert seen_from(sees, i, j) == earlier(i, j)


@pytest.mark.parametrize("depth", [1, 3])
def test_diagonal_bilstm_of_the_paper_loses_the_end_of_the_row_above(depth):
    """Why ours differs: the scan from the right arrives a row later, but its first input there is blind to itself."""
    sees, (_, _, W) = reach.diagonal_lstm(SHAPE, depth, reads_pixels=False), SHAPE
    for i, j in PIXELS:
        end = W - 1 - j
        assert seen_from(sees, i, j) == earlier(i, j) - ({(1, end)} if end > 3 else set())


def test_pixelcnn_pp_over_three_scales_sees_every_earlier_pixel():
    sees = reach.pixelcnn_pp(SHAPE, 2, num_scales=3)
    for i, j in PIXELS:
        assert seen_from(sees, i, j) == earlier(i, j)


# Probabilities


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(("shape", "num_levels"), [([1, 2, 3], 2), ([3, 1, 2], 3)], ids=["binary", "colour"])
@pytest.mark.parametrize("name", FAMILY)
def test_probabilities_of_all_images_sum_to_one(name, shape, num_levels, num_classes):
    model = small(name, shape, num_levels, num_classes)
    x = all_images(shape, num_levels)
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-9)
    each = [model.log_prob(x, torch.full((len(x),), y)).exp() for y in range(num_classes or 0)]
    for p in each:
        assert p.sum().item() == pytest.approx(1, abs=1e-9)
    if num_classes:
        torch.testing.assert_close(model.log_prob(x).exp(), sum(each) / num_classes)
        assert not torch.allclose(each[0], each[1])


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("name", FAMILY)
def test_log_prob_per_pixel_sums_to_minus_the_loss_and_depends_on_no_later_pixel(name, num_classes):
    model = small(name, [3, 4, 3], 4, num_classes)
    x, other = random_images(10, [3, 4, 3], 4).double().chunk(2)
    label = None if num_classes is None else torch.tensor([0, 1, 2, 1, 0])
    loss = model.loss(Batch(x, label))["loss"].detach()
    torch.testing.assert_close(model.log_prob_per_pixel(x, label).sum((1, 2)), -loss)
    torch.testing.assert_close(model.log_prob(x, label), -loss)
    per_pixel = model.log_prob_per_pixel(x)
    assert per_pixel.shape == (5, 4, 3)
    assert (per_pixel < 0).all()
    torch.testing.assert_close(per_pixel.sum((1, 2)), model.log_prob(x))
    order = [(i, j) for i, j, c in FAMILY[name].order((3, 4, 3)) if c == 0]
    before = torch.zeros(4, 3, dtype=torch.bool)
    before[tuple(zip(*order[:7], strict=True))] = True
    changed = model.log_prob_per_pixel(torch.where(before, x, other))
    torch.testing.assert_close(changed[:, before], per_pixel[:, before])
    assert not torch.isclose(changed[:, ~before], per_pixel[:, ~before]).all()


# Learning


def slow_or_not(name: str, num_levels: int) -> Any:
    """A few logistics per pixel take a long time to stand on the levels one by one, and so does the largest network."""
    long = num_levels > 2 and name in ("pixelcnn_pp", "pixelcnn_gated")
    return pytest.param(name, num_levels, marks=[pytest.mark.slow] * long)


# A softmax of linear functions of a few values can't tell 16 images apart.
LEARNED = [(name, levels) for name in FAMILY for levels in (2, 17) if (name, levels) != ("fvsbn", 17)]


@pytest.mark.parametrize(("name", "num_levels"), [slow_or_not(*case) for case in LEARNED])
def test_sixteen_images_are_learned_by_heart_up_to_which_of_them_it_is(name, num_levels):
    """No model gets below log₂ 16 bits on sixteen different images, unless it sees what it should predict."""
    data = instantiate(config("data=digits", f"data.binarize={'threshold' if num_levels == 2 else 'none'}")["data"])
    batch = data.examples("train", 16)
    assert len(batch.x.unique(dim=0)) == 16
    torch.manual_seed(0)
    own = {"likelihood": "bernoulli" if num_levels == 2 else "categorical"} if "likelihood" in defaults(name) else {}
    model = instantiate({**defaults(name), **FAMILY[name].learner, **own, "num_levels": num_levels})
    num_steps = 2000 if name == "pixelcnn_pp" else 400
    optimizer = torch.optim.Adam(model.parameters(), FAMILY[name].learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 1e-3, num_steps)
    least, bits = math.log2(16) / 64, []
    for _ in range(num_steps):
        loss = model.loss(batch)["loss"].mean()
        bits.append(loss.item() / (64 * math.log(2)))
        if bits[-1] < least + 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
    assert least < min(bits) < least + 0.05
