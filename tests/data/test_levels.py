"""The mathematics of scaling, binarization, dequantization and flips."""

import pytest
import torch

from pmodel.data import levels


def generator(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(num_levels: int, count: int = 20_000) -> torch.Tensor:
    """Every level, `count` times: (count, 1, 1, L)."""
    return torch.arange(num_levels, dtype=torch.uint8).expand(count, 1, 1, num_levels)


@pytest.mark.parametrize("num_levels", [2, 17, 256])
def test_intensities_are_equally_spaced_from_zero_to_one(num_levels):
    x = levels.intensity(ramp(num_levels, 1), num_levels)
    expected = torch.tensor([k / (num_levels - 1) for k in range(num_levels)])
    assert x.dtype == torch.float32
    assert torch.equal(x.flatten(), expected)


@pytest.mark.parametrize("num_levels", [2, 3, 16, 17, 256])
def test_threshold_is_at_half_of_full_intensity(num_levels):
    x = levels.at_least_half(ramp(num_levels, 1), num_levels).flatten()
    assert x.tolist() == [int(2 * k >= num_levels - 1) for k in range(num_levels)]


def test_mean_of_binary_draws_is_the_intensity():
    drawn = levels.draw_binary(ramp(17), 17, generator()).float().mean(0).flatten()
    expected = torch.arange(17) / 16
    standard_error = (expected * (1 - expected) / 20_000).sqrt()
    assert ((drawn - expected).abs() <= 5 * standard_error).all()  # exact at intensities 0 and 1


def test_sub_pixels_are_drawn_independently():
    drawn = levels.draw_binary(torch.full((20_000, 1, 1, 2), 8, dtype=torch.uint8), 17, generator()).float().flatten(1)
    assert drawn.T.corrcoef()[0, 1].abs() < 5 / 20_000**0.5


@pytest.mark.parametrize("num_levels", [17, 256])
def test_dequantized_values_stay_in_the_bin_of_their_level(num_levels):
    level = ramp(num_levels)
    x = levels.dequantize(level, num_levels, generator())
    assert x.min() >= 0
    assert x.max() < 1
    assert torch.equal((x * num_levels).floor().byte(), level)


def test_dequantization_noise_is_uniform_within_a_level():
    u = levels.dequantize(ramp(17), 17, generator()) * 17 - ramp(17)
    assert (u.mean(0) - 1 / 2).abs().max() < 5 * (1 / 12 / 20_000) ** 0.5
    assert (u.var(0) - 1 / 12).abs().max() < 5 * (1 / 180 / 20_000) ** 0.5


def test_half_of_the_images_are_mirrored_and_nothing_else():
    x = torch.randint(256, (4000, 3, 2, 5), dtype=torch.uint8, generator=generator(1))
    y = levels.flip(x, generator())
    same, mirrored = ((y == z).flatten(1).all(1) for z in (x, x.flip(-1)))
    assert (same | mirrored).all()
    assert abs(mirrored.double().mean() - 0.5) < 5 * 0.5 / 4000**0.5


@pytest.mark.parametrize("draw", [levels.draw_binary, levels.dequantize])
def test_draws_are_reproducible_from_the_generator_and_differ_otherwise(draw):
    x = ramp(17, 10)
    assert torch.equal(draw(x, 17, generator(1)), draw(x, 17, generator(1)))
    assert not torch.equal(draw(x, 17, generator(1)), draw(x, 17, generator(2)))
